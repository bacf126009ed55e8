/** What an undo is to undo: read from the journal when it is asked for, and frozen in the request. */
import { AptOstreeError } from "../model/errors.ts";
import type { Request } from "../model/transaction.ts";
import type { Journal } from "./ports.ts";

/** The request as it can be carried out. Throws NotFound, and Conflict for a transaction that has nothing to undo. */
export async function resolveUndo(request: Request, journal: Journal): Promise<Request> {
  if (request.kind !== "undo" || request.undoes === undefined) return request;
  const id = request.undoes;
  const found = await journal.transaction(id);
  if (found === null) throw new AptOstreeError("NotFound", `cannot undo ${id}: there is no such transaction`);
  const { row, run } = found;
  if (row.state === "active") throw new AptOstreeError("Conflict", `cannot undo ${id}: it has not ended; cancel it instead`);
  const change = run.facts.outcome?.change;
  if (row.state !== "finished" || row.result?.changed !== true || change === undefined)
    throw new AptOstreeError("Conflict", `cannot undo ${id}: it changed no deployment`);
  return { ...request, undo: { transaction: id, from: change.from, to: change.to } };
}
