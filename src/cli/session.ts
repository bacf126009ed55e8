/** The time that a command is connected to the daemon. */
import type { Context, Daemon, Globals } from "./context.ts";

/** Connects, does the work and closes the connection, however the work ends. Throws Unavailable, InvalidRequest and what the work throws. */
export async function withDaemon<T>(context: Context, globals: Globals, work: (daemon: Daemon) => Promise<T>): Promise<T> {
  const daemon = await context.connect(globals.bus);
  try {
    return await work(daemon);
  } finally {
    await daemon.close();
  }
}
