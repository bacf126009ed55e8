/** What the doors (`src/dbus`) may ask of the scheduler. */
import type { EventEmitter } from "node:events";
import type { SysrootSnapshot } from "../model/sysroot.ts";
import type { Caller, Request, RunMessage, Scheduling, TransactionView } from "../model/transaction.ts";
import type { LockReport } from "./waits-for.ts";

/** Part of what the doors show: they know nothing else of the locks. */
export type { LockReport };

/** Everything `status` shows: one consistent value. */
export interface StatusView {
  readonly snapshot: SysrootSnapshot;
  /** The transactions that have not ended, oldest first. */
  readonly transactions: readonly TransactionView[];
}

/** What the scheduler tells, in order: a transaction is `added` before anything else is said of it and `finished` once. */
export interface SchedulerEvents {
  added: [TransactionView];
  /** State, position, waitingFor, joinedWith or cancellable changed. */
  changed: [TransactionView];
  /** At most ten a second for each transaction; the last one before the end is never lost. */
  progress: [TransactionView];
  message: [TransactionView, RunMessage];
  finished: [TransactionView];
  /** A new snapshot was published. */
  snapshot: [SysrootSnapshot];
}

/** The scheduler, as the doors see it. Rejections are `AptOstreeError`s. */
export interface SchedulerApi extends EventEmitter<SchedulerEvents> {
  /** Answered from memory, at once. */
  status(): StatusView;
  /**
   * Answers with the status as soon as its epoch is above `sinceEpoch`, at once where it is, and in any case after the timeout or
   * when the signal fires.
   */
  waitForStatus(sinceEpoch: number, timeoutMs: number, signal?: AbortSignal): Promise<StatusView>;
  /** Journals a transaction, enqueues it and answers with its id once its row is durable. Busy under `noWait` and over a user's quota. */
  submit(request: Request, caller: Caller, scheduling?: Scheduling): Promise<string>;
  /** Ends the caller's interest; resolves when the request is noted. Who may is for the door to decide. NotFound, TooLate. */
  cancel(id: string, caller: Caller): Promise<void>;
  /** One transaction, active or ended. NotFound. */
  transaction(id: string): Promise<TransactionView>;
  /** Newest first. */
  transactions(limit: number): Promise<readonly TransactionView[]>;
  /** The messages of the transaction's run after a sequence number. NotFound. */
  messages(id: string, afterSeq: number): Promise<readonly RunMessage[]>;
  /** What the locks look like now, and whether they kept their rules: for people who look for a mistake. */
  lockReport(): LockReport;
  /** Reads the sysroot again; the epoch of what was read. */
  reload(): Promise<number>;
}
