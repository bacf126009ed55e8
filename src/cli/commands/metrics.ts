/** `apt-ostree metrics`. */
import type { Context, Globals } from "../context.ts";
import { OK } from "../exit.ts";
import { withDaemon } from "../session.ts";

/** Prints what the daemon has measured of itself, for Prometheus and for people with grep. */
export async function metrics(context: Context, globals: Globals): Promise<number> {
  context.stdout.write(await withDaemon(context, globals, (daemon) => daemon.metrics()));
  return OK;
}
