/** The journal as the daemon's main thread sees it: the `Journal` port, answered by one long-lived thread (`worker.ts`). */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { AptOstreeError, fromErrorValue } from "../model/errors.ts";
import type { RunMessage } from "../model/transaction.ts";
import type { Journal, RunRow, StepRow, TransactionRow } from "../scheduler/ports.ts";
import type { CallName, FromWorker, ToWorker, WorkerData } from "./protocol.ts";

/** What a group commit saves, for metrics: `commits` transactions were enough for `calls` calls. */
export interface JournalCounters {
  readonly calls: number;
  readonly commits: number;
}

/** The journal on SQLite. */
export interface SqliteJournal extends Journal {
  readonly counters: JournalCounters;
}

/** How the journal is opened; only tests that inject faults say more than the path. */
export interface OpenOptions {
  readonly startWorker?: (data: WorkerData) => Worker;
}

/**
 * Opens (or creates) the journal at `path`. Rejects with NoSpace, ConfigInvalid, Busy or JournalTooNew naming the path. Every call of the result
 * rejects with an `AptOstreeError`: NoSpace while the disk is full; Internal when it is closed or its thread has died.
 */
export async function openJournal(path: string, options: OpenOptions = {}): Promise<SqliteJournal> {
  const worker = (options.startWorker ?? startWorker)({ path });
  const first = await Promise.race([
    once(worker, "message").then(([message]) => message as FromWorker),
    once(worker, "exit").then(([status]) => {
      throw ended(path, `status ${status}`);
    }),
  ]).catch((error: unknown) => {
    throw error instanceof AptOstreeError ? error : ended(path, error);
  });
  if (first.kind === "ready") return new ThreadedJournal(worker, path, first.setAside);
  await worker.terminate();
  throw first.kind === "unusable" ? fromErrorValue(first.error) : ended(path, "it spoke out of turn");
}

/** Starts the journal's thread. */
export function startWorker(data: WorkerData): Worker {
  return new Worker(workerUrl(), { workerData: data, name: "journal", execArgv: [] });
}

/** Tests run this file as TypeScript, which a thread of Node 20 cannot load: they get the compiled one, which is built first. */
function workerUrl(): URL {
  const path = import.meta.url.endsWith(".ts") ? "../../dist/src/store/worker.js" : "./worker.js";
  return new URL(path, import.meta.url);
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: AptOstreeError) => void;
}

class ThreadedJournal implements SqliteJournal {
  readonly setAside: string | null;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #outbox: ToWorker[] = [];
  /** Why no call can be made any more. */
  #gone: AptOstreeError | null = null;
  #closing: Promise<void> | null = null;
  #calls = 0;
  #commits = 0;

  constructor(worker: Worker, path: string, setAside: string | null) {
    this.setAside = setAside;
    this.#worker = worker;
    worker.on("message", (message: FromWorker) => this.#answered(message));
    worker.on("error", (error) => this.#end(ended(path, error)));
    worker.on("exit", (status) => this.#end(ended(path, `status ${status}`)));
  }

  get counters(): JournalCounters {
    return { calls: this.#calls, commits: this.#commits };
  }

  async create(transaction: TransactionRow, run: RunRow): Promise<void> {
    await this.#call("create", transaction, run);
  }

  async regroup(runs: readonly RunRow[], transactions: readonly TransactionRow[]): Promise<void> {
    await this.#call("regroup", runs, transactions);
  }

  async updateRun(run: RunRow, ...steps: readonly StepRow[]): Promise<void> {
    await this.#call("updateRun", run, steps);
  }

  async endRun(run: RunRow, steps: readonly StepRow[], transactions: readonly TransactionRow[]): Promise<void> {
    await this.#call("endRun", run, steps, transactions);
  }

  async endTransactions(rows: readonly TransactionRow[]): Promise<void> {
    await this.#call("endTransactions", rows);
  }

  async addMessages(runId: string, messages: readonly RunMessage[]): Promise<void> {
    await this.#call("addMessages", runId, messages);
  }

  async messages(runId: string, afterSeq: number): Promise<readonly RunMessage[]> {
    return (await this.#call("messages", runId, afterSeq)) as readonly RunMessage[];
  }

  async steps(runId: string): Promise<readonly StepRow[]> {
    return (await this.#call("steps", runId)) as readonly StepRow[];
  }

  async unfinished(): Promise<readonly { run: RunRow; transactions: readonly TransactionRow[] }[]> {
    return (await this.#call("unfinished")) as readonly { run: RunRow; transactions: readonly TransactionRow[] }[];
  }

  async transaction(id: string): Promise<{ row: TransactionRow; run: RunRow } | null> {
    return (await this.#call("transaction", id)) as { row: TransactionRow; run: RunRow } | null;
  }

  async transactions(limit: number): Promise<readonly { row: TransactionRow; run: RunRow }[]> {
    return (await this.#call("transactions", limit)) as readonly { row: TransactionRow; run: RunRow }[];
  }

  async nextEpoch(): Promise<number> {
    return (await this.#call("nextEpoch")) as number;
  }

  async trim(keep: number): Promise<void> {
    await this.#call("trim", keep);
  }

  /** Writes what waits, also calls made just before; resolves when the thread is gone. Calling it again waits for the same end. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#gone !== null) return;
    const exit = once(this.#worker, "exit");
    const last = this.#send("close", []);
    this.#gone = new AptOstreeError("Internal", "internal error: the journal is closed");
    try {
      await last;
    } finally {
      await exit;
    }
  }

  async #call(name: CallName, ...args: readonly unknown[]): Promise<unknown> {
    if (this.#gone !== null) throw this.#gone;
    return await this.#send(name, args);
  }

  #send(name: CallName | "close", args: readonly unknown[]): Promise<unknown> {
    this.#calls += 1;
    const id = this.#calls;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      // Whatever is asked for in one turn goes in one message, and so most often into one commit.
      if (this.#outbox.length === 0) process.nextTick(() => this.#post());
      this.#outbox.push({ id, name, args } as ToWorker);
    });
  }

  #post(): void {
    const calls = this.#outbox;
    this.#outbox = [];
    try {
      this.#worker.postMessage(calls);
    } catch {
      // One of them holds what is no plain value.
      for (const call of calls) this.#postAlone(call);
    }
  }

  #postAlone(call: ToWorker): void {
    try {
      this.#worker.postMessage([call]);
    } catch (error) {
      this.#pending
        .get(call.id)
        ?.reject(new AptOstreeError("Internal", `internal error: ${call.name} is given what is no plain value`, { cause: error }));
      this.#pending.delete(call.id);
    }
  }

  #answered(message: FromWorker): void {
    if (message.kind !== "answers") return;
    this.#commits = message.commits;
    for (const answer of message.answers) {
      const pending = this.#pending.get(answer.id);
      this.#pending.delete(answer.id);
      if ("error" in answer) pending?.reject(fromErrorValue(answer.error));
      else pending?.resolve(answer.value);
    }
  }

  #end(reason: AptOstreeError): void {
    this.#gone ??= reason;
    for (const { reject } of this.#pending.values()) reject(reason);
    this.#pending.clear();
  }
}

function ended(path: string, cause: unknown): AptOstreeError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new AptOstreeError("Internal", `cannot use the journal ${path}: its thread ended: ${why}`, { details: { path }, cause });
}
