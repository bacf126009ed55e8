/** Transactions as clients see them: made from a run and a journal row, never kept apart from them. */
import { titleOf } from "../model/names.ts";
import { isFinal, type RunState, type TransactionResult, type TransactionView } from "../model/transaction.ts";
import type { LockManager, Obstacle } from "./locks.ts";
import type { RunRow, TransactionRow } from "./ports.ts";
import type { Run } from "./run.ts";

/** The view of a transaction whose run is active. */
export function activeView(
  row: TransactionRow,
  run: Run,
  others: readonly string[],
  waiting: { position: number; text: string },
  epoch: number,
): TransactionView {
  const state = run.state;
  return {
    ...fromRows(row, run.row, epoch),
    // Final only once the journal says so: until then the run is cleaning up.
    state: isFinal(state) ? "cleaning" : state,
    progress: run.progress,
    waitingFor: waiting.text,
    position: waiting.position,
    cancellable: run.cancellable,
    joinedWith: others,
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
    request: row.request,
    caller: row.caller,
    requestClass: "interactive",
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
    timings: run.timings,
    summary: outcome?.summary ?? "done",
  };
}

/** Where a run stands in the queue for locks, from 1, and why; 0 and nothing for one that does not wait. */
export function waitingOf(locks: LockManager, runId: string, nameOf: (owner: string) => string): { position: number; text: string } {
  const ticket = locks.find(runId);
  if (ticket === null || ticket.state !== "waiting") return { position: 0, text: "" };
  return { position: locks.queue().indexOf(ticket) + 1, text: explain(locks.waitsFor(ticket), nameOf) };
}

/** Why a run waits, for people: "sysroot is held by install vim (3f2a…)". */
function explain(obstacles: readonly Obstacle[], nameOf: (owner: string) => string): string {
  return obstacles
    .map(({ resource, heldBy, behind }) => {
      const held = heldBy.length > 0 ? `${resource} is held by ${heldBy.map(nameOf).join(" and ")}` : `${resource} is awaited`;
      return behind.length === 0 ? held : `${held}, ${behind.map(nameOf).join(" and ")} first`;
    })
    .join("; ");
}
