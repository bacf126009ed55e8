/**
 * What the scheduler needs of the outside, as interfaces. `src/engines` and `src/store` implement them; `src/daemon.ts` is
 * the only place where they meet.
 */
import type { StageVerdict } from "../../machines/transaction.ts";
import type { ErrorValue } from "../model/errors.ts";
import type { InstalledPackage, Plan } from "../model/plan.ts";
import type { SysrootSnapshot } from "../model/sysroot.ts";
import type { Caller, FinalState, Request, RunMessage, Scheduling, Stage, StageTiming, TransactionResult, TreeChange } from "../model/transaction.ts";

/** What a stage is given besides its input. */
export interface StageIo {
  /** Aborted when the run is cancelled: the stage ends its children, cleans up after itself and throws Cancelled. */
  readonly signal: AbortSignal;
  /**
   * Fires when a person comes to want the run, and has fired where one did from the beginning. Until then refreshing, planning and
   * downloading stay out of the way.
   */
  readonly awaited: AbortSignal;
  /** Progress of this stage, 0 to 1, and what is being done; call as often as you like. */
  progress(fraction: number, text: string, bytes?: { done: number; total: number }): void;
  /** A line for people that is kept with the run. */
  message(level: RunMessage["level"], text: string): void;
}

/** Facts that stages leave for later ones; journalled with what comes after the stage, so plain JSON values only. */
export interface RunFacts {
  /** The transaction that the run was made for; it may have left while others stayed. */
  readonly transactionId?: string;
  /** Generation of the package lists after `refreshing`. */
  readonly listsGeneration?: string;
  readonly plan?: Plan;
  /** The local packages that addresses stand for, by address, after `refreshing`. */
  readonly fetched?: Readonly<Record<string, string>>;
  /** The commit that the revision in the request stands for, where `refreshing` had to look it up at a remote. */
  readonly revisionCommit?: string;
  /** The layered commit after `assembling`, with what it holds. */
  readonly layer?: Layer;
  /** Ids of the deployments, in order, when `deploying` first began: a resumed one knows by them whether it had its effect. */
  readonly deploymentsBefore?: readonly string[];
  /** What `deploying` or `pruning` did. */
  readonly outcome?: Outcome;
  /** It was split off a run that failed for all: nobody else is merged into it, so that one bad request is found out. */
  readonly splinter?: boolean;
}

/** A layered (or bare base) commit that is ready to be deployed and held by a ref. */
export interface Layer {
  readonly commit: string;
  readonly packages: readonly InstalledPackage[];
  /** It was there already: nothing was assembled. */
  readonly cached: boolean;
}

/** What the last stage did, for the result. */
export interface Outcome {
  readonly changed: boolean;
  readonly commit: string;
  readonly staged: boolean;
  readonly diff: TransactionResult["diff"];
  readonly summary: string;
  /** Of a deployment or a rollback: what an undo would reverse. Absent where a crash left no trace of what was there before. */
  readonly change?: TreeChange;
}

/** The input of every stage. `snapshot` is the published one at the moment the stage begins, with its locks held. */
export interface StageInput {
  readonly runId: string;
  readonly request: Request;
  /** The transaction that the run was made for; recorded in the origin file. */
  readonly transactionId: string;
  readonly facts: RunFacts;
  readonly snapshot: SysrootSnapshot;
}

/** What a stage returns: facts to add, whether it was answered from a cache, and how the run goes on. */
export interface StageOutput {
  readonly facts: RunFacts;
  readonly cached: boolean;
  readonly verdict: StageVerdict;
}

/** A stage: looks first, then does; running it twice is running it once. Throws `AptOstreeError`. */
export type StageEngine = (input: StageInput, io: StageIo) => Promise<StageOutput>;

/** The engines that do the work. */
export interface Engines {
  readonly stages: Readonly<Record<Stage, StageEngine>>;
  /**
   * Removes whatever a run left behind: children, mounts, work trees, partial files. Called at the end of each run, however
   * it ended, and for each run found unfinished when the daemon starts. Never throws for what is already gone.
   */
  clean(runId: string): Promise<void>;
  /** Undoes what a failed `deploying` stage may have left under the transaction recorded in the origin; looks first. */
  rollBack(transactionId: string): Promise<void>;
  /**
   * Resolves once no other program has the sysroot locked; to be awaited before `deploying` and `pruning`. `waiting` is told for whom
   * it waits ("the sysroot is locked by ostree (pid 123)") whenever that changes, and null when a wait is over. Throws Cancelled.
   */
  awaitSysroot(io: { readonly signal: AbortSignal; waiting(reason: string | null): void }): Promise<void>;
  /** Why work that nobody asked for should not run now, for people ("the network is metered"), or null. Never throws for what is absent. */
  whyNotNow(): Promise<string | null>;
  /**
   * Keeps copies of `.deb` files, by paths on this machine, and gives the local packages that they are (`TreeState`). Throws InvalidRequest
   * for what is no Debian package, NotFound, NoSpace.
   */
  keepLocals(paths: readonly string[]): Promise<readonly string[]>;
  /** Reads the sysroot from disk. */
  readSysroot(): Promise<Omit<SysrootSnapshot, "epoch" | "warnings">>;
  /** Calls back, at most a few times a second, when somebody else may have changed the sysroot. Returns the stop function. */
  watchSysroot(changed: () => void): () => void;
}

/** A transaction row of the journal. */
export interface TransactionRow {
  readonly id: string;
  readonly runId: string;
  readonly request: Request;
  readonly caller: Caller;
  readonly scheduling: Scheduling;
  readonly createdMs: number;
  readonly endedMs: number;
  /** "active" until final. */
  readonly state: "active" | FinalState;
  readonly result: TransactionResult | null;
  readonly error: ErrorValue | null;
}

/** A run row: the truth that an actor is rebuilt from. */
export interface RunRow {
  readonly id: string;
  readonly request: Request;
  /** The machine's state at the last journalled transition. */
  readonly state: string;
  readonly facts: RunFacts;
  readonly timings: readonly StageTiming[];
  /** The error that sent it to rolling back or cleaning, if any. */
  readonly error: ErrorValue | null;
  readonly cancelRequested: boolean;
  /** How often a daemon took it up after a crash. */
  readonly resumed: number;
  /** The kernel's boot id when it was last written (/proc/sys/kernel/random/boot_id). */
  readonly bootId: string;
  readonly createdMs: number;
  readonly updatedMs: number;
}

/** One step of the journal: an intent is durable before its effect starts; the end of a stage shares the commit of what comes next. */
export interface StepRow {
  readonly runId: string;
  readonly stage: string;
  readonly phase: "intent" | "done" | "failed";
  readonly atMs: number;
}

/** The journal. Every write resolves when it is durable (SQLite WAL, synchronous=FULL, commits in groups). */
export interface Journal {
  /** Creates a transaction, in one commit with its run as it is from now on, which may be new. */
  create(transaction: TransactionRow, run: RunRow): Promise<void>;
  /** Writes runs, new ones among them, and which run each of the transactions belongs to, in one commit. */
  regroup(runs: readonly RunRow[], transactions: readonly TransactionRow[]): Promise<void>;
  updateRun(run: RunRow, ...steps: readonly StepRow[]): Promise<void>;
  /** Ends a run and the transactions that end with it, in one commit. */
  endRun(run: RunRow, steps: readonly StepRow[], transactions: readonly TransactionRow[]): Promise<void>;
  /** Ends transactions whose run goes on, or had ended before. */
  endTransactions(rows: readonly TransactionRow[]): Promise<void>;
  /** Appends messages; need not be durable at once. */
  addMessages(runId: string, messages: readonly RunMessage[]): Promise<void>;
  messages(runId: string, afterSeq: number): Promise<readonly RunMessage[]>;
  steps(runId: string): Promise<readonly StepRow[]>;
  /** Runs that have not ended, with their transactions that have not ended. */
  unfinished(): Promise<readonly { run: RunRow; transactions: readonly TransactionRow[] }[]>;
  transaction(id: string): Promise<{ row: TransactionRow; run: RunRow } | null>;
  /** Newest first. */
  transactions(limit: number): Promise<readonly { row: TransactionRow; run: RunRow }[]>;
  /** A durable number that rises by one: the epoch. */
  nextEpoch(): Promise<number>;
  /** Removes ended transactions beyond the newest `keep`, with runs, steps and messages that nothing refers to any more. */
  trim(keep: number): Promise<void>;
  /** Set when the database was damaged and set aside at the start: the path it was moved to. */
  readonly setAside: string | null;
  close(): Promise<void>;
}
