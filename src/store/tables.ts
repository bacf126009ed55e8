/** The journal's statements: each method is one call of the `Journal` port, to be run inside a transaction where it writes. */
import type Database from "better-sqlite3";
import { AptOstreeError, type ErrorValue } from "../model/errors.ts";
import {
  type Caller,
  DEFAULT_SCHEDULING,
  isFinal,
  type Request,
  type RunMessage,
  type Scheduling,
  type StageTiming,
  type TransactionResult,
} from "../model/transaction.ts";
import type { RunFacts, RunRow, StepRow, TransactionRow } from "../scheduler/ports.ts";

type Row = Record<string, string | number | null>;

const RUN_COLUMNS = "id, request, state, facts, timings, error, cancel_requested, resumed, boot_id, created_ms, updated_ms";
const TX_COLUMNS = "id, run_id, request, caller, created_ms, ended_ms, state, result, error, scheduling";

/** Prepared statements on one open database. Nothing here is durable until the caller commits. */
export class Tables {
  readonly #db: Database.Database;
  readonly #prepared = new Map<string, Database.Statement>();

  constructor(db: Database.Database) {
    this.#db = db;
  }

  /** Throws Internal where the transaction's id is taken. */
  create(transaction: TransactionRow, run: RunRow): void {
    this.#putRun(run);
    this.#sql(
      `insert into tx (${TX_COLUMNS}) values (@id, @runId, @request, @caller, @createdMs, @endedMs, @state, @result, @error, @scheduling)`,
    ).run(transactionValues(transaction));
  }

  /** Throws NotFound. */
  regroup(runs: readonly RunRow[], transactions: readonly TransactionRow[]): void {
    for (const run of runs) this.#putRun(run);
    for (const { id, runId } of transactions) {
      const { changes } = this.#sql("update tx set run_id = ? where id = ?").run(runId, id);
      if (changes === 0) throw new AptOstreeError("NotFound", `cannot journal transaction ${id}: it is not in the journal`);
    }
  }

  /** Throws NotFound. */
  updateRun(run: RunRow, steps: readonly StepRow[]): void {
    const { changes } = this.#sql(
      `update run set request = @request, state = @state, facts = @facts, timings = @timings, error = @error,
       cancel_requested = @cancelRequested, resumed = @resumed, boot_id = @bootId, created_ms = @createdMs, updated_ms = @updatedMs,
       ended = @ended where id = @id`,
    ).run(runValues(run));
    if (changes === 0) throw new AptOstreeError("NotFound", `cannot journal run ${run.id}: it is not in the journal`);
    for (const { runId, stage, phase, atMs } of steps)
      this.#sql("insert into step (run_id, stage, phase, at_ms) values (?, ?, ?, ?)").run(runId, stage, phase, atMs);
  }

  /** Throws NotFound. */
  endRun(run: RunRow, steps: readonly StepRow[], transactions: readonly TransactionRow[]): void {
    this.updateRun(run, steps);
    this.endTransactions(transactions);
  }

  /** Throws NotFound. */
  endTransactions(rows: readonly TransactionRow[]): void {
    for (const row of rows) {
      const { changes } = this.#sql(
        `update tx set run_id = @runId, request = @request, caller = @caller, created_ms = @createdMs, ended_ms = @endedMs, state = @state,
         result = @result, error = @error where id = @id`,
      ).run(transactionValues(row));
      if (changes === 0) throw new AptOstreeError("NotFound", `cannot journal transaction ${row.id}: it is not in the journal`);
    }
  }

  /** A sequence number that is there already keeps its text: what was told stays told. A run that was trimmed takes none. */
  addMessages(runId: string, messages: readonly RunMessage[]): void {
    if (!this.#hasRun(runId)) return;
    const insert = this.#sql("insert into message (run_id, seq, at_ms, level, text) values (?, ?, ?, ?, ?) on conflict do nothing");
    for (const message of messages) insert.run(runId, message.seq, message.atMs, message.level, message.text);
  }

  messages(runId: string, afterSeq: number): RunMessage[] {
    const rows = this.#rows("select seq, at_ms, level, text from message where run_id = ? and seq > ? order by seq", runId, afterSeq);
    return rows.map((row) => ({ seq: Number(row.seq), atMs: Number(row.at_ms), level: row.level as RunMessage["level"], text: String(row.text) }));
  }

  steps(runId: string): StepRow[] {
    const rows = this.#rows("select run_id, stage, phase, at_ms from step where run_id = ? order by seq", runId);
    return rows.map((row) => ({
      runId: String(row.run_id),
      stage: String(row.stage),
      phase: row.phase as StepRow["phase"],
      atMs: Number(row.at_ms),
    }));
  }

  /** Also a run that ended with a transaction that did not: a crash may fall between the two, and nobody may be forgotten. */
  unfinished(): { run: RunRow; transactions: TransactionRow[] }[] {
    const runs = this.#rows(
      `select ${RUN_COLUMNS} from run where ended = 0 or id in (select run_id from tx where state = 'active') order by created_ms, rowid`,
    );
    return runs.map((row) => {
      const run = toRun(row);
      const active = this.#rows(`select ${TX_COLUMNS} from tx where run_id = ? and state = 'active' order by seq`, run.id);
      return { run, transactions: active.map(toTransaction) };
    });
  }

  transaction(id: string): { row: TransactionRow; run: RunRow } | null {
    const [found] = this.#rows(`select ${TX_COLUMNS} from tx where id = ?`, id);
    return found === undefined ? null : this.#withRun(toTransaction(found));
  }

  transactions(limit: number): { row: TransactionRow; run: RunRow }[] {
    const rows = this.#rows(`select ${TX_COLUMNS} from tx order by seq desc limit ?`, limit);
    return rows.map((row) => this.#withRun(toTransaction(row)));
  }

  nextEpoch(): number {
    const [row] = this.#rows(
      "insert into counter (name, value) values ('epoch', 1) on conflict (name) do update set value = value + 1 returning value",
    );
    return Number(row?.value);
  }

  trim(keep: number): void {
    this.#sql(
      `delete from tx where state <> 'active' and seq <= (select seq from tx where state <> 'active' order by seq desc limit 1 offset ?)`,
    ).run(keep);
    this.#sql("delete from run where ended = 1 and not exists (select 1 from tx where tx.run_id = run.id)").run();
  }

  /** What has ended stays as it is: whoever comes late to a run must not begin it again. */
  #putRun(run: RunRow): void {
    this.#sql(
      `insert into run (${RUN_COLUMNS}, ended) values
       (@id, @request, @state, @facts, @timings, @error, @cancelRequested, @resumed, @bootId, @createdMs, @updatedMs, @ended)
       on conflict (id) do update set request = @request, state = @state, facts = @facts, timings = @timings, error = @error,
       cancel_requested = @cancelRequested, resumed = @resumed, boot_id = @bootId, updated_ms = @updatedMs, ended = @ended
       where ended = 0`,
    ).run(runValues(run));
  }

  #withRun(row: TransactionRow): { row: TransactionRow; run: RunRow } {
    const run = this.#run(row.runId);
    if (run === null) throw new AptOstreeError("JournalCorrupt", `cannot read the journal: transaction ${row.id} has no run`);
    return { row, run };
  }

  #run(id: string): RunRow | null {
    const [row] = this.#rows(`select ${RUN_COLUMNS} from run where id = ?`, id);
    return row === undefined ? null : toRun(row);
  }

  #hasRun(id: string): boolean {
    return this.#sql("select 1 from run where id = ?").get(id) !== undefined;
  }

  #rows(sql: string, ...values: (string | number)[]): Row[] {
    return this.#sql(sql).all(...values) as Row[];
  }

  #sql(sql: string): Database.Statement {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    const statement = this.#db.prepare(sql);
    this.#prepared.set(sql, statement);
    return statement;
  }
}

function runValues(run: RunRow): Row {
  return {
    id: run.id,
    request: JSON.stringify(run.request),
    state: run.state,
    ended: isFinal(run.state) ? 1 : 0,
    facts: JSON.stringify(run.facts),
    timings: JSON.stringify(run.timings),
    error: orNull(run.error),
    cancelRequested: run.cancelRequested ? 1 : 0,
    resumed: run.resumed,
    bootId: run.bootId,
    createdMs: run.createdMs,
    updatedMs: run.updatedMs,
  };
}

function transactionValues(row: TransactionRow): Row {
  return {
    id: row.id,
    runId: row.runId,
    request: JSON.stringify(row.request),
    caller: JSON.stringify(row.caller),
    createdMs: row.createdMs,
    endedMs: row.endedMs,
    state: row.state,
    result: orNull(row.result),
    error: orNull(row.error),
    scheduling: JSON.stringify(row.scheduling),
  };
}

function toRun(row: Row): RunRow {
  const place = `run ${row.id}`;
  return {
    id: String(row.id),
    request: parseStored(String(row.request), place) as Request,
    state: String(row.state),
    facts: parseStored(String(row.facts), place) as RunFacts,
    timings: parseStored(String(row.timings), place) as StageTiming[],
    error: parseOrNull(row.error, place) as ErrorValue | null,
    cancelRequested: row.cancel_requested === 1,
    resumed: Number(row.resumed),
    bootId: String(row.boot_id),
    createdMs: Number(row.created_ms),
    updatedMs: Number(row.updated_ms),
  };
}

function toTransaction(row: Row): TransactionRow {
  const place = `transaction ${row.id}`;
  return {
    id: String(row.id),
    runId: String(row.run_id),
    request: parseStored(String(row.request), place) as Request,
    caller: parseStored(String(row.caller), place) as Caller,
    scheduling: { ...DEFAULT_SCHEDULING, ...(parseOrNull(row.scheduling, place) as Scheduling | null) },
    createdMs: Number(row.created_ms),
    endedMs: Number(row.ended_ms),
    state: row.state as TransactionRow["state"],
    result: parseOrNull(row.result, place) as TransactionResult | null,
    error: parseOrNull(row.error, place) as ErrorValue | null,
  };
}

function orNull(value: unknown): string | null {
  return value === null ? null : JSON.stringify(value);
}

function parseOrNull(text: string | number | null | undefined, place: string): unknown {
  return typeof text === "string" ? parseStored(text, place) : null;
}

function parseStored(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AptOstreeError("JournalCorrupt", `cannot read the journal: ${place} holds no JSON`, { cause: error });
  }
}
