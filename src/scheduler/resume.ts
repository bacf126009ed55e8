/** Where a run of the journal goes on. */
import type { ResumePoint, TransactionInput } from "../../machines/transaction.ts";
import type { ErrorValue } from "../model/errors.ts";
import { STAGES, stagesOf } from "../model/transaction.ts";
import type { RunRow } from "./ports.ts";

/** After so many daemons that died in it the run gives up. */
const MAX_RESUMES = 3;

/** What the machine is started with: the point, the error it ends with, and whether it was cancelled. */
export type Resume = NonNullable<TransactionInput["resume"]>;

/** Decides, on a kernel of this boot id. What was cancelled is not begun again, save a deployment, which may stand already. */
export function resumeOf(row: RunRow, bootId: string): Resume {
  const { state, resumed, cancelRequested, error, facts } = row;
  if (resumed > MAX_RESUMES) {
    const gaveUp: ErrorValue = { code: "Internal", message: `internal error: the daemon ended ${resumed} times in the stage ${state}` };
    // What was deployed halfway is undone, but not for ever where it is that which ends the daemon.
    const undo = state === "deploying" && resumed === MAX_RESUMES + 1;
    return at(undo ? "rollingBack" : "cleaning", gaveUp);
  }
  const stage = STAGES.find((s) => s === state);
  if (state === "rollingBack" || state === "cleaning" || state === "settling")
    return { at: state === "rollingBack" ? state : "cleaning", error, cancelRequested };
  // What the journal says was done, or has failed, is not tried again.
  const wasLast = stage !== undefined && stagesOf(row.request).at(-1) === stage;
  // What was staged before the host was booted again has been finalised, or was lost with the power: the stage looks for it.
  const mayBeLost = stage === "deploying" && facts.outcome?.staged === true && row.bootId !== bootId;
  if (wasLast && row.timings.at(-1)?.stage === stage && !mayBeLost) return at("cleaning", error);
  if (error !== null) return at(stage === "deploying" ? "rollingBack" : "cleaning", error);
  const mayStand = stage === "deploying" && facts.deploymentsBefore !== undefined;
  if (cancelRequested && !mayStand) return { at: "cleaning", error, cancelRequested };
  return at(stage ?? null, null);
}

function at(point: ResumePoint | null, error: ErrorValue | null): Resume {
  return { at: point, error, cancelRequested: false };
}
