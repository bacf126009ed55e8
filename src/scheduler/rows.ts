/** Rows of the journal as they begin and end. */
import type { ErrorValue } from "../model/errors.ts";
import type { Request } from "../model/transaction.ts";
import type { RunRow, TransactionRow } from "./ports.ts";

/** The row of a new run, made for a transaction. */
export function newRunRow(request: Request, transactionId: string, { id, nowMs, bootId }: { id: string; nowMs: number; bootId: string }): RunRow {
  return {
    id,
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

/** What a new transaction's row is made of. */
export type NewTransaction = Pick<TransactionRow, "id" | "runId" | "request" | "caller" | "scheduling" | "createdMs">;

/** The row of a new transaction. */
export function newTransactionRow(values: NewTransaction): TransactionRow {
  return { ...values, endedMs: 0, state: "active", result: null, error: null };
}

/** What the transactions of an ended run are told. */
export function endErrorOf({ state, error }: RunRow): ErrorValue | null {
  if (state === "finished") return null;
  return state === "cancelled" ? { code: "Cancelled", message: "cancelled" } : error;
}
