/** Rows of the journal as they begin and end. */
import type { ErrorValue } from "../model/errors.ts";
import { newId } from "../model/ids.ts";
import type { Caller, Request } from "../model/transaction.ts";
import type { RunRow, TransactionRow } from "./ports.ts";

/** The row of a new run, made for a transaction. */
export function newRunRow(request: Request, transactionId: string, { now, bootId }: { now: () => number; bootId: string }): RunRow {
  const nowMs = now();
  return {
    id: newId(),
    request,
    state: "queued",
    facts: { transactionId },
    timings: [],
    error: null,
    cancelRequested: false,
    resumed: 0,
    bootId,
    createdMs: nowMs,
    updatedMs: nowMs,
  };
}

/** The row of a new transaction. */
export function newTransactionRow(id: string, runId: string, request: Request, caller: Caller, createdMs: number): TransactionRow {
  return { id, runId, request, caller, createdMs, endedMs: 0, state: "active", result: null, error: null };
}

/** What the transactions of an ended run are told. */
export function endErrorOf({ state, error }: RunRow): ErrorValue | null {
  if (state === "finished") return null;
  return state === "cancelled" ? { code: "Cancelled", message: "cancelled" } : error;
}
