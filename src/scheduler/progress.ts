/** How much of the work is done: one percentage over all stages of a kind, shaped by the share of time that each takes. */
import { type Request, type Stage, stagesOf } from "../model/transaction.ts";
import { WEIGHT_OF } from "./needs.ts";

/** How far a run is. */
export interface StageProgress {
  readonly stage: Stage;
  /** Of the stage, 0 to 1. */
  readonly fraction: number;
}

/** The percentage, 0 to 100 with one digit, for one who wants what a request does: a run may do more, or have come past it. */
export function percentOf(request: Pick<Request, "kind" | "dryRun">, { stage, fraction }: StageProgress): number {
  const stages = stagesOf(request);
  const index = stages.indexOf(stage);
  if (index < 0) return 100;
  const total = sum(stages);
  const done = sum(stages.slice(0, index)) + WEIGHT_OF[stage] * Math.min(Math.max(fraction, 0), 1);
  return Math.round((1000 * done) / total) / 10;
}

function sum(stages: readonly Stage[]): number {
  return stages.reduce((all, stage) => all + WEIGHT_OF[stage], 0);
}
