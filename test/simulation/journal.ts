/** A journal whose disk can lose what was not synced, be full, or fail: what a crash leaves is exactly what was told to be durable, or a little more. */
import { AptOstreeError } from "../../src/model/errors.ts";
import { isFinal, type RunMessage } from "../../src/model/transaction.ts";
import type { Journal, RunRow, StepRow, TransactionRow } from "../../src/scheduler/ports.ts";
import type { VirtualClock } from "./clock.ts";
import type { Random } from "./random.ts";

/** What survives a crash: rows as they would be read from the disk. */
export class Disk {
  readonly runs = new Map<string, RunRow>();
  readonly transactions = new Map<string, TransactionRow>();
  readonly messages = new Map<string, RunMessage[]>();
  epoch = 0;
  /** Commits that have become durable, over all lives: the journal's transitions. */
  commits = 0;
  /** Called before each commit, with its number from 1: a crash point. Throws to refuse it; returns false where the daemon dies of it. */
  beforeCommit: (number: number) => boolean = () => true;
}

const copy = <T>(value: T): T => structuredClone(value);

/** The journal of one daemon's life over a disk. After `die` nothing is written and nobody is answered. */
export class SimulatedJournal implements Journal {
  readonly setAside = null;
  readonly #disk: Disk;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  #queue: { readonly apply: () => unknown; readonly resolve: (value: unknown) => void; readonly reject: (error: unknown) => void }[] = [];
  #committing = false;
  #dead = false;

  constructor(disk: Disk, clock: VirtualClock, random: Random) {
    this.#disk = disk;
    this.#clock = clock;
    this.#random = random;
  }

  die(): void {
    this.#dead = true;
    this.#queue = [];
  }

  async create(transaction: TransactionRow, run: RunRow): Promise<void> {
    await this.#write(() => {
      if (this.#disk.transactions.has(transaction.id)) throw new AptOstreeError("Internal", `internal error: ${transaction.id} is taken`);
      this.#putRun(run);
      this.#disk.transactions.set(transaction.id, copy(transaction));
    });
  }

  async regroup(runs: readonly RunRow[], transactions: readonly TransactionRow[]): Promise<void> {
    await this.#write(() => {
      for (const run of runs) this.#putRun(run);
      for (const { id, runId } of transactions) this.#disk.transactions.set(id, { ...this.#known(id), runId });
    });
  }

  async updateRun(run: RunRow): Promise<void> {
    await this.#write(() => void this.#disk.runs.set(run.id, copy(run)));
  }

  async endRun(run: RunRow, _steps: readonly StepRow[], transactions: readonly TransactionRow[]): Promise<void> {
    await this.#write(() => {
      this.#disk.runs.set(run.id, copy(run));
      this.#endTransactions(transactions);
    });
  }

  async endTransactions(rows: readonly TransactionRow[]): Promise<void> {
    await this.#write(() => this.#endTransactions(rows));
  }

  async addMessages(runId: string, messages: readonly RunMessage[]): Promise<void> {
    if (this.#dead) return await new Promise(() => undefined);
    const known = this.#disk.messages.get(runId) ?? [];
    this.#disk.messages.set(
      runId,
      [...known, ...copy(messages)].filter((m, i, all) => all.findIndex((o) => o.seq === m.seq) === i),
    );
  }

  async messages(runId: string, afterSeq: number): Promise<readonly RunMessage[]> {
    return await this.#read(() => (this.#disk.messages.get(runId) ?? []).filter((message) => message.seq > afterSeq));
  }

  async steps(): Promise<readonly StepRow[]> {
    return [];
  }

  async unfinished(): Promise<readonly { run: RunRow; transactions: readonly TransactionRow[] }[]> {
    return await this.#read(() =>
      [...this.#disk.runs.values()]
        .map((run) => ({ run, transactions: [...this.#disk.transactions.values()].filter((row) => row.runId === run.id && row.state === "active") }))
        .filter(({ run, transactions }) => !isFinal(run.state) || transactions.length > 0),
    );
  }

  async transaction(id: string): Promise<{ row: TransactionRow; run: RunRow } | null> {
    return await this.#read(() => {
      const row = this.#disk.transactions.get(id);
      const run = row === undefined ? undefined : this.#disk.runs.get(row.runId);
      return row === undefined || run === undefined ? null : { row, run };
    });
  }

  async transactions(limit: number): Promise<readonly { row: TransactionRow; run: RunRow }[]> {
    return await this.#read(() =>
      [...this.#disk.transactions.values()]
        .reverse()
        .slice(0, limit)
        .map((row) => ({ row, run: this.#disk.runs.get(row.runId) as RunRow })),
    );
  }

  async nextEpoch(): Promise<number> {
    return (await this.#write(() => {
      this.#disk.epoch += 1;
      return this.#disk.epoch;
    })) as number;
  }

  async trim(keep: number): Promise<void> {
    await this.#write(() => {
      const ended = [...this.#disk.transactions.values()].filter((row) => row.state !== "active");
      for (const row of ended.slice(0, Math.max(0, ended.length - keep))) this.#disk.transactions.delete(row.id);
      const used = new Set([...this.#disk.transactions.values()].map((row) => row.runId));
      for (const run of [...this.#disk.runs.values()]) {
        if (!isFinal(run.state) || used.has(run.id)) continue;
        this.#disk.runs.delete(run.id);
        this.#disk.messages.delete(run.id);
      }
    });
  }

  async close(): Promise<void> {
    this.die();
  }

  #known(id: string): TransactionRow {
    const row = this.#disk.transactions.get(id);
    if (row === undefined) throw new AptOstreeError("NotFound", `cannot journal ${id}: it is not in the journal`);
    return row;
  }

  #endTransactions(rows: readonly TransactionRow[]): void {
    for (const row of rows) {
      if (this.#known(row.id).state !== "active") throw new AptOstreeError("Internal", `internal error: ${row.id} ends twice`);
      this.#disk.transactions.set(row.id, copy(row));
    }
  }

  #putRun(run: RunRow): void {
    const there = this.#disk.runs.get(run.id);
    if (there === undefined || !isFinal(there.state)) this.#disk.runs.set(run.id, copy(run));
  }

  async #read<T>(look: () => T): Promise<T> {
    if (this.#dead) return await new Promise(() => undefined);
    return copy(look());
  }

  #write(apply: () => unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#dead) return;
      this.#queue.push({ apply, resolve, reject });
      this.#commitSoon();
    });
  }

  #commitSoon(): void {
    if (this.#committing || this.#queue.length === 0) return;
    this.#committing = true;
    // A disk syncs in a fraction of a millisecond, and now and then in a tenth of a second.
    this.#clock.after(this.#random.chance(0.02) ? this.#random.between(20, 170) : this.#random.between(0.1, 2), () => {
      this.#committing = false;
      if (!this.#dead) this.#commit();
      if (!this.#dead) this.#commitSoon();
    });
  }

  #commit(): void {
    const group = this.#queue;
    this.#queue = [];
    try {
      if (!this.#disk.beforeCommit(this.#disk.commits + 1)) return;
    } catch (error) {
      for (const { reject } of group) reject(error);
      return;
    }
    this.#disk.commits += 1;
    for (const { apply, resolve, reject } of group) {
      try {
        resolve(apply());
      } catch (error) {
        reject(error);
      }
    }
  }
}
