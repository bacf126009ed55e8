/** A run that comes to carry out another request than it began with: what of its work still serves. */
import type { Request, Stage } from "../model/transaction.ts";
import type { RunRow } from "./ports.ts";

/** An upgrade is not content with the lists that were fresh enough for what the run was before. */
export function comesToWantNews(before: Request, now: Request): boolean {
  return now.kind === "upgrade" && before.kind !== "upgrade";
}

/** Where a run in a stage must go back to, as `row` says until now, to carry out `request`; null where what was done serves. */
export function redoneFor({ request: before, facts, timings }: RunRow, request: Request, stage: Stage | null): "replan" | "refresh" | null {
  if (stage === null || stage === "refreshing") return null;
  if (comesToWantNews(before, request) && timings.findLast((timing) => timing.stage === "refreshing")?.cached === true) return "refresh";
  const fits = named(before) === named(request) && stage === "downloading" && facts.plan?.changed === true;
  return fits ? null : "replan";
}

/** Everything that a request names and a plan is made of, as one text. */
function named({ packages, locals = [], files = [] }: Request): string {
  return JSON.stringify([packages, locals, files]);
}
