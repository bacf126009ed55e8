/** Who wants what: the transactions that have not ended, each a member of one run, found by id, by run and by user. */
import type { TransactionRow } from "./ports.ts";
import type { Run } from "./run.ts";

/** A transaction that has not ended. */
export interface Member {
  row: TransactionRow;
  /** Changes when runs are put together or taken apart. */
  run: Run;
  /** Whether its row became durable; never rejects. */
  readonly created: Promise<boolean>;
  /** Its row is durable and `added` was told: nothing is said of it before. */
  announced: boolean;
  /** Its end is being written: it has no part in its run any more. */
  ending: boolean;
  /** Percent as it was last shown: it never falls, whatever becomes of the run. */
  percent: number;
  /** Takes back the timer of its wait. */
  stopWaiting: () => void;
}

/** All members. Runs are known as long as somebody added or kept them. */
export class Members {
  readonly #byId = new Map<string, Member>();
  readonly #ofRun = new Map<string, Set<Member>>();
  readonly #ofUid = new Map<number, number>();

  get size(): number {
    return this.#byId.size;
  }

  /** All of them, oldest first. */
  all(): Iterable<Member> {
    return this.#byId.values();
  }

  get(id: string): Member | undefined {
    return this.#byId.get(id);
  }

  /** Who still wants a run, in the order in which they came. */
  of(run: Run): Member[] {
    return [...(this.#ofRun.get(run.id) ?? [])].filter((member) => !member.ending);
  }

  /** Ids of others that share a member's run, the first so many: it may be a thousand. */
  othersOf(member: Member, limit: number): string[] {
    const ids: string[] = [];
    for (const other of this.#ofRun.get(member.run.id) ?? []) {
      if (ids.length === limit) break;
      if (other !== member && other.announced && !other.ending) ids.push(other.row.id);
    }
    return ids;
  }

  /** How many transactions of a user have not ended. */
  countOf(uid: number): number {
    return this.#ofUid.get(uid) ?? 0;
  }

  add(member: Member): void {
    this.#byId.set(member.row.id, member);
    this.#enter(member);
    this.#ofUid.set(member.row.caller.uid, this.countOf(member.row.caller.uid) + 1);
  }

  remove(member: Member): void {
    if (!this.#byId.delete(member.row.id)) return;
    this.#leave(member);
    const { uid } = member.row.caller;
    const left = this.countOf(uid) - 1;
    if (left === 0) this.#ofUid.delete(uid);
    else this.#ofUid.set(uid, left);
  }

  /** Makes it a member of another run. */
  move(member: Member, run: Run): void {
    this.#leave(member);
    member.run = run;
    member.row = { ...member.row, runId: run.id };
    this.#enter(member);
  }

  #enter(member: Member): void {
    const set = this.#ofRun.get(member.run.id);
    if (set === undefined) this.#ofRun.set(member.run.id, new Set([member]));
    else set.add(member);
  }

  #leave(member: Member): void {
    const set = this.#ofRun.get(member.run.id);
    set?.delete(member);
    if (set?.size === 0) this.#ofRun.delete(member.run.id);
  }
}
