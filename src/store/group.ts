/** Group commit: a list of calls, run in order in one transaction and answered when it is durable. */
import type Database from "better-sqlite3";
import { AptOstreeError } from "../model/errors.ts";
import type { RunMessage } from "../model/transaction.ts";
import type { RunRow, StepRow, TransactionRow } from "../scheduler/ports.ts";
import { failure, isDamage } from "./failures.ts";
import type { Answer, Call, CallName } from "./protocol.ts";
import { Tables } from "./tables.ts";

const READS: ReadonlySet<CallName> = new Set(["messages", "steps", "unfinished", "transaction", "transactions"]);
/** Messages that cannot be written are kept for the next commit; beyond this many calls the oldest are given up. */
const MAX_RIDERS = 10_000;

/** The messages of one accepted `addMessages`. */
interface Rider {
  readonly runId: string;
  readonly messages: readonly RunMessage[];
}

/**
 * Runs groups of calls on one database. Messages are accepted at once and ride along with the next commit. A call that the
 * database refuses fails alone; a group that cannot be committed fails as a whole, reads apart. After an I/O error everything
 * fails from then on: what a failed sync left on the disk is unknown, and only a new start reads it afresh.
 */
export class Groups {
  readonly #db: Database.Database;
  readonly #path: string;
  readonly #tables: Tables;
  #riders: Rider[] = [];
  #broken: AptOstreeError | null = null;
  #commits = 0;

  constructor(db: Database.Database, path: string) {
    this.#db = db;
    this.#path = path;
    this.#tables = new Tables(db);
  }

  /** How many transactions were committed. */
  get commits(): number {
    return this.#commits;
  }

  /** Whether messages wait for a commit. */
  get hasRiders(): boolean {
    return this.#riders.length > 0;
  }

  /** Runs the calls in order; whatever the answers tell is durable, accepted messages apart. */
  run(calls: readonly Call[]): Answer[] {
    const accepted = new Map(calls.filter(({ name }) => name === "addMessages").map((call) => [call, this.#answer(call, () => this.#accept(call))]));
    const others = calls.filter((call) => !accepted.has(call));
    const answers = others.some((call) => this.#needsCommit(call)) ? this.#together(others) : others.map((call) => this.#alone(call));
    return [...accepted.values(), ...answers];
  }

  /** Commits the messages that wait. Throws like a write. */
  flush(): void {
    if (!this.hasRiders) return;
    try {
      this.#commit(() => undefined);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #needsCommit({ name }: Call): boolean {
    return name === "messages" ? this.hasRiders : !READS.has(name);
  }

  #together(calls: readonly Call[]): Answer[] {
    try {
      return this.#commit(() => calls.map((call) => this.#inside(call)));
    } catch (error) {
      const reason = this.#failed(error);
      return calls.map((call) => (READS.has(call.name) ? this.#alone(call) : { id: call.id, error: reason.toValue() }));
    }
  }

  #commit<T>(work: () => T): T {
    if (this.#broken !== null) throw this.#broken;
    const result = this.#db
      .transaction(() => {
        const value = work();
        this.#writeRiders();
        return value;
      })
      .immediate();
    this.#riders = [];
    this.#commits += 1;
    return result;
  }

  /** One call of a group, in a savepoint of its own. SQLite takes back the whole transaction by itself when the disk is full. */
  #inside(call: Call): Answer {
    try {
      if (call.name === "messages") this.#writeRiders();
      return { id: call.id, value: this.#db.transaction(() => this.#apply(call))() };
    } catch (error) {
      const reason = failure("use the journal", this.#path, error);
      if (!this.#db.inTransaction || reason.code === "NoSpace" || isBreakage(error)) throw error;
      return { id: call.id, error: reason.toValue() };
    }
  }

  #alone(call: Call): Answer {
    return this.#answer(call, () => {
      if (this.#broken !== null) throw this.#broken;
      try {
        return this.#apply(call);
      } catch (error) {
        throw this.#failed(error);
      }
    });
  }

  #answer(call: Call, work: () => unknown): Answer {
    try {
      return { id: call.id, value: work() };
    } catch (error) {
      return { id: call.id, error: failure("use the journal", this.#path, error).toValue() };
    }
  }

  #failed(error: unknown): AptOstreeError {
    const reason = failure("use the journal", this.#path, error);
    if (isBreakage(error) && reason.code !== "NoSpace") this.#broken = reason;
    return reason;
  }

  /** Checked here, as nobody waits for the commit that would refuse them. */
  #accept(call: Call): void {
    if (this.#broken !== null) throw this.#broken;
    const [runId, messages] = call.args as [string, readonly RunMessage[]];
    const sound = messages.every(
      ({ seq, atMs, level, text }) =>
        Number.isSafeInteger(seq) && Number.isSafeInteger(atMs) && typeof level === "string" && typeof text === "string",
    );
    if (!sound || typeof runId !== "string")
      throw new AptOstreeError("Internal", `internal error: messages of run ${runId} without a whole number, level or text`);
    if (this.#riders.length >= MAX_RIDERS) this.#riders.shift();
    this.#riders.push({ runId, messages });
  }

  /** Writing them twice is writing them once, so they are kept until their commit has succeeded. */
  #writeRiders(): void {
    for (const { runId, messages } of this.#riders) this.#tables.addMessages(runId, messages);
  }

  #apply({ name, args }: Call): unknown {
    switch (name) {
      case "create":
        return this.#tables.create(args[0] as TransactionRow, args[1] as RunRow);
      case "regroup":
        return this.#tables.regroup(args[0] as readonly RunRow[], args[1] as readonly TransactionRow[]);
      case "updateRun":
        return this.#tables.updateRun(args[0] as RunRow, args[1] as readonly StepRow[]);
      case "endRun":
        return this.#tables.endRun(args[0] as RunRow, args[1] as readonly StepRow[], args[2] as readonly TransactionRow[]);
      case "endTransactions":
        return this.#tables.endTransactions(args[0] as readonly TransactionRow[]);
      case "addMessages":
        return this.#tables.addMessages(args[0] as string, args[1] as readonly RunMessage[]);
      case "messages":
        return this.#tables.messages(args[0] as string, args[1] as number);
      case "steps":
        return this.#tables.steps(args[0] as string);
      case "unfinished":
        return this.#tables.unfinished();
      case "transaction":
        return this.#tables.transaction(args[0] as string);
      case "transactions":
        return this.#tables.transactions(args[0] as number);
      case "nextEpoch":
        return this.#tables.nextEpoch();
      case "trim":
        return this.#tables.trim(args[0] as number);
    }
  }
}

function isBreakage(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return isDamage(error) || (typeof code === "string" && code.startsWith("SQLITE_IOERR"));
}
