/** Work that nobody is waiting for, and that a timer asks for again: it may be left for another time. */
import type { Kind, Request, RequestClass } from "../model/transaction.ts";
import type { StageOutput } from "./ports.ts";

const KINDS: readonly Kind[] = ["refresh", "prefetch", "upgrade"];

/** Whether a run is of that sort, as long as no person has come to want it. */
export function isUnasked(run: { readonly requestClass: RequestClass; readonly request: Request }): boolean {
  return run.requestClass === "timer" && KINDS.includes(run.request.kind);
}

/** What a first stage ends with that is not worked on: nothing is done, or it begins again where a person has come to want it meanwhile. */
export function skipped(why: string, run: Parameters<typeof isUnasked>[0]): StageOutput {
  const outcome = { changed: false, commit: "", staged: false, diff: [], summary: `skipped: ${why}` };
  return { facts: { outcome }, cached: true, verdict: isUnasked(run) ? "settled" : "refresh" };
}
