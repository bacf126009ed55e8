/** How long runs will take yet: what the scheduler knows of them, put to what earlier ones have taught. */
import { type Estimate, type Request, type StageTiming, stagesOf } from "../model/transaction.ts";
import { Estimates } from "./estimates.ts";
import type { RunRow } from "./ports.ts";
import type { Run } from "./run.ts";
import type { RunSize } from "./stage-model.ts";

/** Earlier runs, and what they tell of the present ones. */
export class Outlook {
  readonly #estimates = new Estimates();

  /** Takes in a stage of a run that has ended well. */
  learn(row: RunRow, timing: StageTiming): void {
    if (timing.stage === "cleaning") return;
    const { stage, tookMs, cached } = timing;
    this.#estimates.learn({ stage, tookMs, cached, size: sizeOf(row) });
  }

  /** Until a run has done what a request wants of it, from when it has its turn; null where nothing tells. */
  of(run: Run, wanted: Pick<Request, "kind" | "dryRun">): Estimate | null {
    const stages = stagesOf(wanted);
    const size = sizeOf(run.row);
    // Before there is a plan nobody knows how much there will be to download.
    if (size === null && stages.includes("downloading")) return null;
    return this.#estimates.remaining(stages, size, run.stageProgress);
  }
}

/** One after the other; null where one of them is not known. */
export function inSequence(estimates: readonly (Estimate | null)[]): Estimate | null {
  return estimates.reduce((sum, next) => (sum === null || next === null ? null : { p50Ms: sum.p50Ms + next.p50Ms, p90Ms: sum.p90Ms + next.p90Ms }));
}

function sizeOf({ facts }: RunRow): RunSize | null {
  if (facts.plan === undefined) return null;
  const { archives } = facts.plan;
  return { archiveBytes: archives.reduce((sum, archive) => sum + archive.sizeBytes, 0), packageCount: archives.length };
}
