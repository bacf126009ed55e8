/** `apt-ostree cancel`. */
import { AptOstreeError } from "../../model/errors.ts";
import { isFinal, type TransactionView } from "../../model/transaction.ts";
import type { Context, Daemon, Globals } from "../context.ts";
import { OK, showError } from "../exit.ts";
import { follow } from "../follow.ts";
import { Interruption } from "../interruption.ts";
import { findId, namesOf } from "../lookup.ts";
import { makeProgress } from "../progress.ts";
import { errorOf } from "../result.ts";
import { withDaemon } from "../session.ts";

/** Cancels a transaction, by default the only active one of ours, and waits until it has ended. */
export async function cancel(context: Context, globals: Globals, given: string | undefined): Promise<number> {
  return withDaemon(context, globals, async (daemon) => {
    const say = (text: string): void => {
      if (!globals.quiet) context.stdout.write(`${text}\n`);
    };
    const view = given === undefined ? await onlyOwn(context, daemon, say) : await daemon.transaction(await findId(daemon, given));
    if (view === null) return OK;
    if (isFinal(view.state)) throw new AptOstreeError("TooLate", `cannot cancel ${view.id} (${view.title}): it is already ${view.state}`);
    const interruption = new Interruption(context, { mayCancel: false });
    try {
      await daemon.cancel(view.id);
      const ending = await follow(daemon, view.id, makeProgress(context, { quiet: globals.quiet, json: false }), interruption);
      if ("left" in ending) return ending.left;
      if (ending.view.state === "failed") return showError(context, errorOf(ending.view));
      say(
        ending.view.state === "cancelled"
          ? `Cancelled ${view.id} (${view.title})`
          : `It was too late to cancel ${view.id} (${view.title}): it has finished`,
      );
      return OK;
    } finally {
      interruption.close();
    }
  });
}

/** The active transaction that we asked for, or null where there is none. Throws InvalidRequest where there are several. */
async function onlyOwn(context: Context, daemon: Daemon, say: (text: string) => void): Promise<TransactionView | null> {
  const { transactions } = await daemon.status();
  const own = transactions.filter(({ caller, state }) => caller.uid === context.uid && !isFinal(state));
  if (own.length > 1) throw new AptOstreeError("InvalidRequest", `cannot choose what to cancel: name one of ${namesOf(own)}`);
  const [one] = own;
  if (one !== undefined) return one;
  say(transactions.length === 0 ? "No active transaction." : `No active transaction of yours; of others: ${namesOf(transactions)}`);
  return null;
}
