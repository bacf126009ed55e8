/** Finding transactions, whether they have ended or not. */
import { AptOstreeError } from "../model/errors.ts";
import { isId } from "../model/ids.ts";
import type { RunMessage, TransactionView } from "../model/transaction.ts";
import type { Board } from "./board.ts";
import type { Journal } from "./ports.ts";
import { endedView } from "./views.ts";

const MAX_LISTED = 1000;

/** The active ones are answered from memory, the others from the journal. */
export class Archive {
  readonly #board: Board;
  readonly #journal: Journal;
  readonly #epoch: () => number;

  constructor(board: Board, journal: Journal, epoch: () => number) {
    this.#board = board;
    this.#journal = journal;
    this.#epoch = epoch;
  }

  /** See `SchedulerApi`. */
  async transaction(id: string): Promise<TransactionView> {
    const member = this.#board.members.get(id);
    if (member !== undefined) return this.#board.view(member);
    const found = isId(id) ? await this.#journal.transaction(id) : null;
    if (found === null) throw new AptOstreeError("NotFound", `cannot find transaction ${id.slice(0, 40)}`);
    return endedView(found.row, found.run, this.#epoch());
  }

  /** See `SchedulerApi`. */
  async transactions(limit: number): Promise<readonly TransactionView[]> {
    const rows = await this.#journal.transactions(Math.min(Math.max(limit, 1), MAX_LISTED));
    return rows.map(({ row, run }) => {
      const member = this.#board.members.get(row.id);
      return member === undefined ? endedView(row, run, this.#epoch()) : this.#board.view(member);
    });
  }

  /** See `SchedulerApi`. */
  async messages(id: string, afterSeq: number): Promise<readonly RunMessage[]> {
    const member = this.#board.members.get(id);
    if (member !== undefined) return member.run.messages.all.filter((message) => message.seq > afterSeq);
    const view = await this.transaction(id);
    return await this.#journal.messages(view.runId, afterSeq);
  }
}
