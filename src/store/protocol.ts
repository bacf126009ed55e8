/** What the journal's two threads say to each other; plain values, as structured clone takes them. */
import type { ErrorValue } from "../model/errors.ts";
import type { Journal } from "../scheduler/ports.ts";

/** The calls that the thread answers. */
export type CallName = Exclude<keyof Journal, "setAside" | "close">;

/** A call of the journal, with the arguments of the port. */
export interface Call {
  readonly id: number;
  readonly name: CallName;
  readonly args: readonly unknown[];
}

/** The request to write what waits, to close the database and to end. */
export interface Close {
  readonly id: number;
  readonly name: "close";
}

/** What the thread is sent, in lists. */
export type ToWorker = Call | Close;

/** The answer to one call. */
export type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: ErrorValue };

/** What the thread sends: first `ready` or `unusable`, once; then a list of answers for each group of calls. */
export type FromWorker =
  | { readonly kind: "ready"; readonly setAside: string | null }
  | { readonly kind: "unusable"; readonly error: ErrorValue }
  | { readonly kind: "answers"; readonly answers: readonly Answer[]; readonly commits: number };

/** What the thread is started with. */
export interface WorkerData {
  readonly path: string;
}
