/** Transactions as clients see them: made from a run and a journal row, never kept apart from them. */
import { planDigest } from "../model/plan.ts";
import { shownRequest, titleOf } from "../model/request.ts";
import { type Estimate, isFinal, type RunState, type TransactionResult, type TransactionView } from "../model/transaction.ts";
import type { RunRow, TransactionRow } from "./ports.ts";
import type { Run } from "./run.ts";
import type { Waiting } from "./waiting.ts";

/** What the view of an active transaction shows besides its rows. */
export interface ViewParts {
  readonly percent: number;
  readonly joinedWith: readonly string[];
  readonly waiting: Waiting;
  readonly eta: Estimate | null;
  readonly epoch: number;
}

/** The view of a transaction whose run is active. */
export function activeView(row: TransactionRow, run: Run, parts: ViewParts): TransactionView {
  const { state } = run;
  return {
    ...fromRows(row, run.row, parts.epoch),
    // Final only once the journal says so: until then the run is cleaning up.
    state: isFinal(state) ? "cleaning" : state,
    progress: { percent: parts.percent, ...run.doing },
    eta: parts.eta,
    warning: run.warning,
    waitingFor: parts.waiting.text,
    position: parts.waiting.position,
    cancellable: run.cancellable,
    joinedWith: parts.joinedWith,
  };
}

/** The view of a transaction that has ended, or of any row as the journal has it. */
export function endedView(row: TransactionRow, run: RunRow, epoch: number): TransactionView {
  return {
    ...fromRows(row, run, epoch),
    progress: { percent: row.state === "finished" ? 100 : 0, text: row.result?.summary ?? "", bytesDone: 0, bytesTotal: 0 },
  };
}

function fromRows(row: TransactionRow, run: RunRow, epoch: number): TransactionView {
  const state: RunState = row.state === "active" ? "queued" : row.state;
  return {
    id: row.id,
    runId: row.runId,
    kind: row.request.kind,
    title: titleOf(row.request),
    request: shownRequest(row.request),
    caller: row.caller,
    requestClass: row.scheduling.requestClass,
    state,
    eta: null,
    warning: "",
    epoch,
    progress: { percent: 0, text: "", bytesDone: 0, bytesTotal: 0 },
    waitingFor: "",
    position: 0,
    cancellable: false,
    joinedWith: [],
    resumed: run.resumed,
    createdMs: row.createdMs,
    endedMs: row.endedMs,
    result: row.result,
    error: row.error,
  };
}

/** The result of a run that finished. */
export function resultOf(run: RunRow): TransactionResult {
  const outcome = run.facts.outcome;
  return {
    changed: outcome?.changed ?? false,
    commit: outcome?.commit ?? "",
    staged: outcome?.staged ?? false,
    diff: outcome?.diff ?? [],
    ...(run.facts.plan === undefined ? {} : { plan: planDigest(run.facts.plan) }),
    timings: run.timings,
    summary: outcome?.summary ?? "done",
  };
}
