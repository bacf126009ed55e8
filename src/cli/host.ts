/** The context of a real process. */
import type { Context, Output } from "./context.ts";

const DEFAULT_COLUMNS = 80;

/** The context made of `process`. The D-Bus library is loaded by `connect` only: it costs more than all the rest. */
export function hostContext(): Context {
  return {
    stdout: outputOf(process.stdout),
    stderr: outputOf(process.stderr),
    clock: {
      nowMs: () => performance.now(),
      after(delayMs, callback) {
        const timer = setTimeout(callback, delayMs);
        return () => clearTimeout(timer);
      },
    },
    uid: process.getuid?.() ?? -1,
    async connect(address) {
      const { DaemonClient } = await import("../dbus/client.ts");
      return DaemonClient.connect(address);
    },
    onSignal(signal, listener) {
      process.on(signal, listener);
      return () => process.off(signal, listener);
    },
  };
}

function outputOf(stream: NodeJS.WriteStream): Output {
  const terminal = stream.isTTY === true && process.env.TERM !== "dumb";
  return {
    terminal,
    colour: terminal && (process.env.NO_COLOR ?? "") === "",
    columns: () => stream.columns || DEFAULT_COLUMNS,
    write(text) {
      stream.write(text);
    },
  };
}
