/** Exit statuses, and how errors are shown. The statuses of errors are in `model/errors.ts`. */
import { AptOstreeError, ERRORS, type ErrorValue, toErrorValue } from "../model/errors.ts";
import type { Context, Signal } from "./context.ts";
import { paint, printable } from "./format.ts";

/** All went well. */
export const OK = 0;
/** The command line is wrong: as InvalidRequest. */
export const USAGE = 2;
/** Nothing changed (`--unchanged-exit-77`), or a deployment is pending (`status --pending-exit-77`), as in rpm-ostree. */
export const UNCHANGED = 77;
/** Standard output was closed by its reader, as if SIGPIPE had ended the program. */
export const OUTPUT_CLOSED = 141;

/** The status of a client that a signal made leave, as a shell shows it. */
export const SIGNALLED: Readonly<Record<Signal, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

/** Shows an error and gives its exit status. */
export function showError(context: Pick<Context, "stderr">, error: ErrorValue): number {
  context.stderr.write(`${paint(context.stderr, "red", "error:")} ${error.message.split("\n").map(printable).join("\n")}\n`);
  return ERRORS[error.code]?.exitStatus ?? ERRORS.Internal.exitStatus;
}

/** Shows whatever was thrown and gives its exit status; for a bug the stack too, if `APT_OSTREE_DEBUG` is set. */
export function showThrown(context: Pick<Context, "stderr">, thrown: unknown): number {
  const isBug = !(thrown instanceof AptOstreeError) && thrown instanceof Error;
  if (isBug && process.env.APT_OSTREE_DEBUG !== undefined) context.stderr.write(`${thrown.stack}\n`);
  return showError(context, toErrorValue(thrown));
}
