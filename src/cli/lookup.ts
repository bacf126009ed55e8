/** Finding the transaction that a person means. */
import { AptOstreeError } from "../model/errors.ts";
import { isId } from "../model/ids.ts";
import type { TransactionView } from "../model/transaction.ts";
import type { Daemon } from "./context.ts";

const SEARCHED = 1000;

/** The id that a whole id or the unambiguous start of one stands for. Throws NotFound, InvalidRequest. */
export async function findId(daemon: Pick<Daemon, "transactions">, given: string): Promise<string> {
  const start = given.toLowerCase();
  if (isId(start)) return start;
  if (!/^[0-9a-f]{1,11}$/.test(start))
    throw new AptOstreeError(
      "InvalidRequest",
      `cannot find transaction ${JSON.stringify(given.slice(0, 40))}: an id is up to 12 digits from 0-9 and a-f`,
    );
  const found = (await daemon.transactions(SEARCHED)).filter(({ id }) => id.startsWith(start));
  const [first] = found;
  if (first === undefined)
    throw new AptOstreeError("NotFound", `cannot find transaction ${start}: none of the last ${SEARCHED} has an id that starts so`);
  if (found.length > 1) throw new AptOstreeError("InvalidRequest", `cannot choose transaction ${start}: ${namesOf(found)} start so`);
  return first.id;
}

/** Transactions with id and title, for messages: "7f3a5c9d1e20 (install vim), …", at most five. */
export function namesOf(views: readonly TransactionView[]): string {
  const names = views.slice(0, 5).map(({ id, title }) => `${id} (${title})`);
  return names.join(", ") + (views.length > 5 ? `, and ${views.length - 5} more` : "");
}
