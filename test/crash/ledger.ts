/** What clients were promised and told: the daemon must stand by every word of it. */
import type { ErrorCode } from "../../src/model/errors.ts";
import { isFinal, type TransactionView } from "../../src/model/transaction.ts";
import type { Wish } from "./plan.ts";

/** One daemon's, or many daemons', promises to the clients of a round. */
export class Ledger {
  /** Everything that was asked for, also where no answer came. */
  readonly wishes: Wish[] = [];
  /** Accepted transactions, in order, with how each was said to have ended, as often as it was said. */
  readonly #accepted = new Map<string, string[]>();
  /** What was refused, in words. */
  readonly refusals: string[] = [];
  /** Errors that the round itself gives a reason for, as refusals and as ends. */
  readonly excused: readonly ErrorCode[];

  constructor(excused: readonly ErrorCode[] = []) {
    this.excused = excused;
  }

  /** The ids of all accepted transactions, in order. */
  get accepted(): string[] {
    return [...this.#accepted.keys()];
  }

  /** How many accepted transactions have not been said to have ended. */
  get open(): number {
    return [...this.#accepted.values()].filter((ends) => ends.length === 0).length;
  }

  accept(id: string): void {
    this.#accepted.set(id, []);
  }

  /** Notes what somebody was told; a transaction that is not over tells nothing. */
  told(view: TransactionView): void {
    if (isFinal(view.state)) this.#accepted.get(view.id)?.push(endOf(view));
  }

  /** Accepted transactions that were said to have ended otherwise than they have. */
  contradictions(ended: ReadonlyMap<string, TransactionView>): string[] {
    return [...this.#accepted].flatMap(([id, ends]) => {
      const view = ended.get(id);
      if (view === undefined) return [`transaction ${id} was accepted and is not known any more`];
      if (!isFinal(view.state)) return [`transaction ${id} (${view.title}) is still ${view.state}`];
      return [...new Set(ends)].filter((end) => end !== endOf(view)).map((end) => `transaction ${id} was said to be ${end}, and is ${endOf(view)}`);
    });
  }
}

function endOf({ state, error, endedMs, result }: TransactionView): string {
  return JSON.stringify([state, error?.code ?? null, endedMs, result?.commit ?? null]);
}
