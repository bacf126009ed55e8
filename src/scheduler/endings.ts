/**
 * How transactions end: each once, durable before it is told. A run that fails for several who wanted different things is taken apart
 * instead, until whoever is to blame is alone with it.
 */
import { AptOstreeError, type ErrorCode, type ErrorValue } from "../model/errors.ts";
import { digestOf } from "../model/plan.ts";
import type { FinalState, StageTiming } from "../model/transaction.ts";
import { type Board, isServed } from "./board.ts";
import type { Clock } from "./clock.ts";
import type { Member } from "./members.ts";
import type { Meter } from "./meter.ts";
import { persist } from "./persist.ts";
import type { Journal, RunRow, TransactionRow } from "./ports.ts";
import { endErrorOf } from "./rows.ts";
import type { Run } from "./run.ts";
import type { RunDeps } from "./run-deps.ts";
import { endedView, resultOf } from "./views.ts";

/** What endings need. */
export interface EndingsParts {
  readonly board: Board;
  readonly journal: Journal;
  readonly log: RunDeps["log"];
  readonly meter: Meter;
  readonly clock: Clock;
  readonly keepTransactions: number;
  readonly epoch: () => number;
  readonly emitFinished: (view: ReturnType<typeof endedView>) => void;
  /** The run has nothing more to do: its slot is free while its end is written. */
  readonly onRunEnding: (run: Run) => void;
  /** The run has ended, its row durable. */
  readonly onRunEnded: (run: Run) => void;
  /** Takes the members of a failed run apart: one run for each group. */
  readonly split: (run: Run, groups: readonly (readonly Member[])[]) => Promise<void>;
  readonly isClosing: () => boolean;
}

/** A transaction that ends, with its run as it was then. */
interface End {
  readonly member: Member;
  readonly run: RunRow;
  readonly row: TransactionRow;
}

/** Runs that end between two trims of the journal, at least; a trim looks at all that is kept, so that it is a tenth of that where it is more. */
const TRIM_EVERY = 50;
/** Failures that are nobody's request's: trying the parts would end in the same. */
const FOR_ALL: readonly ErrorCode[] = ["Cancelled", "Internal", "DeployFailed", "JournalCorrupt"];

/** Ends transactions. */
export class Endings {
  readonly #parts: EndingsParts;
  #endedSinceTrim = 0;

  constructor(parts: EndingsParts) {
    this.#parts = parts;
  }

  /** Ends whoever has all it wants though the run goes on. */
  async stageDone(run: Run, timing: StageTiming): Promise<void> {
    const served = this.#parts.board.members.of(run).filter((member) => isServed(member, timing.stage));
    await Promise.all(served.map((member) => this.end(member, "finished", null)));
  }

  /** The run is in a final state: its row is written, and its members are ended, or taken apart. */
  async runEnded(run: Run): Promise<void> {
    const { board, meter, journal, keepTransactions } = this.#parts;
    const state = run.row.state as FinalState;
    meter.count("runs_total", { kind: run.request.kind, state });
    const groups = state === "failed" && !FOR_ALL.includes(run.row.error?.code ?? "Internal") ? groupsOf(board.members.of(run)) : [];
    if (groups.length > 1) {
      await this.#persist(() => this.#parts.split(run, halves(groups)));
      this.#parts.onRunEnded(run);
      return;
    }
    const error = endErrorOf(run.row);
    const members = board.members.of(run);
    const close = (member: Member): Promise<End | null> => this.#close(member, state, error);
    const closing = members.filter(({ announced }) => announced).map(close);
    // Nobody is held up by one whose first row is still being written.
    const late = members.filter(({ announced }) => !announced).map(close);
    this.#parts.onRunEnding(run);
    const closed = (await Promise.all(closing)).filter((end) => end !== null);
    await this.#persist(() => run.end(closed.map(({ row }) => row)));
    this.#parts.onRunEnded(run);
    for (const end of closed) this.#tell(end);
    await Promise.all(late.map((end) => this.#endAlone(end)));
    this.#endedSinceTrim += 1;
    if (this.#endedSinceTrim < Math.max(TRIM_EVERY, keepTransactions / 10)) return;
    this.#endedSinceTrim = 0;
    await journal.trim(keepTransactions);
  }

  /** Ends one transaction whose run goes on or has ended before: durable first, then told. Whoever comes first decides how it ends. */
  async end(member: Member, state: FinalState, error: ErrorValue | null): Promise<void> {
    if (member.ending) return;
    await this.#endAlone(this.#close(member, state, error));
  }

  async #endAlone(closing: Promise<End | null>): Promise<void> {
    const end = await closing;
    if (end === null) return;
    await this.#persist(() => this.#parts.journal.endTransactions([end.row]));
    this.#tell(end);
  }

  /** Takes a member out of its run, at once; how it ends, or null where it never came to be. */
  async #close(member: Member, state: FinalState, error: ErrorValue | null): Promise<End | null> {
    member.ending = true;
    member.stopWaiting();
    // The run may go on: what it had done by now is what this one gets.
    const run = member.run.row;
    if (!(await member.created)) return null;
    this.#parts.board.announce(member);
    const result = state === "finished" ? resultOf(run) : null;
    return { member, run, row: { ...member.row, state, error, result, endedMs: this.#parts.clock.now() } };
  }

  /** It is durable. */
  #tell({ member, run, row }: End): void {
    const { board, log, meter, epoch, emitFinished } = this.#parts;
    const { id, state, error } = row;
    board.flush(id);
    board.members.remove(member);
    meter.count("transactions_total", { kind: row.request.kind, state });
    log.info({ transaction: id, run: row.runId, state, ...(error === null ? {} : { code: error.code, reason: error.message }) }, "transaction ended");
    emitFinished(endedView(row, run, epoch()));
  }

  /** An end is the one write that nobody could be told the failure of. */
  async #persist(write: () => Promise<void>): Promise<void> {
    await persist(write, this.#parts);
  }
}

/** Who will not wait, or not longer, is told for whom it would have to. */
export function busy(id: string, why: string, holders: readonly string[]): AptOstreeError {
  return new AptOstreeError("Busy", `cannot go on with ${id}: ${why}`, { details: { holders } });
}

/** Members by what they want, in the order in which they came. */
function groupsOf(members: readonly Member[]): Member[][] {
  const groups = new Map<string, Member[]>();
  for (const member of members) {
    const key = digestOf(member.row.request);
    groups.set(key, [...(groups.get(key) ?? []), member]);
  }
  return [...groups.values()];
}

/** Two halves: with each failure the search for the one to blame gets half as wide. */
function halves(groups: readonly Member[][]): Member[][] {
  const middle = Math.ceil(groups.length / 2);
  return [groups.slice(0, middle).flat(), groups.slice(middle).flat()];
}
