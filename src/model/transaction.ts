/**
 * The words of the domain: requests, stages, transactions and runs. A *transaction* is what one caller asked for (id,
 * result, cancel); a *run* is the work, shared by the transactions that were joined into it.
 */
import type { ErrorValue } from "./errors.ts";
import type { PackageChange } from "./plan.ts";
import type { TreeState } from "./tree.ts";

/** Every kind of change, as the verb that asks for it. */
export const KINDS = [
  "install",
  "uninstall",
  "override",
  "reset",
  "reinstall",
  "upgrade",
  "rebase",
  "deploy",
  "rollback",
  "undo",
  "refresh",
  "prefetch",
  "cleanup",
] as const;
export type Kind = (typeof KINDS)[number];

/** What `override` does to packages of the base: take them out, put others in their place, or take earlier overrides back. */
export const OVERRIDE_ACTIONS = ["remove", "replace", "reset"] as const;
export type OverrideAction = (typeof OVERRIDE_ACTIONS)[number];

/** What `reset` takes back; both where none is named. */
export const RESET_SCOPES = ["layers", "overrides"] as const;
export type ResetScope = (typeof RESET_SCOPES)[number];

/** A request as it was authorised: immutable from the moment it is journalled. What is absent was not asked for. */
export interface Request {
  readonly kind: Kind;
  /** Packages as a person named them, for install, uninstall, override, reinstall and prefetch. Sorted, without duplicates. */
  readonly packages: readonly string[];
  /** For cleanup: what to remove. Empty for the other kinds. */
  readonly targets: readonly CleanupTarget[];
  /** Answer with an unchanged result where the request is already satisfied, instead of an error (`--idempotent`). */
  readonly idempotent: boolean;
  /** For install and override: paths on the daemon's host, or http(s) addresses, of `.deb` files. Sorted. */
  readonly files?: readonly string[];
  /** The local packages (`TreeState`) that the paths among the files were when it was asked for; the scheduler adds them. */
  readonly locals?: readonly string[];
  /** For override and reset: what to do. An override without packages resets all. */
  readonly action?: OverrideAction | ResetScope;
  /** For rebase: the base to follow from now on. */
  readonly refspec?: string;
  /** For rebase and deploy: a commit, the start of one, or a version in the history of the refspec. */
  readonly revision?: string;
  /** For rebase: whether the base's own packages follow apt from now on. */
  readonly followsApt?: boolean;
  /** Do nothing but plan; the result tells what would be done. */
  readonly dryRun?: boolean;
  /** The digest of a plan that a dry run told: do exactly this or nothing. */
  readonly plan?: string;
  /** Maintainer scripts may use the network. */
  readonly scriptNetwork?: boolean;
  /** For undo: the id of the transaction to undo. */
  readonly undoes?: string;
  /** For undo: what that transaction changed, as the journal has it; the scheduler adds it before the request is journalled. */
  readonly undo?: UndoOf;
}

/** What a transaction changed: what new deployments were made from before it, and afterwards. */
export interface TreeChange {
  readonly from: TreeState;
  readonly to: TreeState;
}

/** The change of a finished transaction that is to be undone. */
export interface UndoOf extends TreeChange {
  /** Id of the transaction. */
  readonly transaction: string;
}

/** What `cleanup` can remove: unused caches and commits, the pending or the rollback deployment, downloaded package lists. */
export const CLEANUP_TARGETS = ["base", "pending", "rollback", "repomd"] as const;
export type CleanupTarget = (typeof CLEANUP_TARGETS)[number];

/** Who asked, as the bus vouches for it, plus what the client says of itself. */
export interface Caller {
  /** The caller's unique bus name, for example ":1.7". */
  readonly sender: string;
  readonly uid: number;
  readonly pid: number;
  /** The client's own name for itself ("cli", "gnome-software"); for people, never for decisions. */
  readonly agent: string;
}

/** How urgent a request is: a person waits for it, a program with a window asks, or a timer does. In the order in which they are served. */
export const REQUEST_CLASSES = ["interactive", "gui", "timer"] as const;
export type RequestClass = (typeof REQUEST_CLASSES)[number];

/** How a transaction waits. It is no part of what was asked for: requests that differ in this only are the same request. */
export interface Scheduling {
  readonly requestClass: RequestClass;
  /** Be refused with Busy, naming the holder, rather than wait for another transaction. */
  readonly noWait: boolean;
  /** Give up with Busy, naming the holder, after having waited so long; 0 to wait as long as it takes. */
  readonly waitTimeoutMs: number;
}

/** A person waits, for as long as it takes. */
export const DEFAULT_SCHEDULING: Scheduling = { requestClass: "interactive", noWait: false, waitTimeoutMs: 0 };

/** The stages of the work, in the only order they can run; each kind uses some of them (`STAGES_OF`). */
export const STAGES = ["refreshing", "planning", "downloading", "assembling", "deploying", "pruning"] as const;
export type Stage = (typeof STAGES)[number];

/** From what is asked for to a deployment. */
const BUILDS: readonly Stage[] = ["refreshing", "planning", "downloading", "assembling", "deploying"];

/** Which stages each kind goes through. */
export const STAGES_OF: Readonly<Record<Kind, readonly Stage[]>> = {
  install: BUILDS,
  uninstall: BUILDS,
  override: BUILDS,
  reset: BUILDS,
  reinstall: BUILDS,
  upgrade: BUILDS,
  rebase: BUILDS,
  deploy: BUILDS,
  rollback: ["deploying"],
  undo: BUILDS,
  refresh: ["refreshing"],
  prefetch: ["refreshing", "planning", "downloading"],
  cleanup: ["pruning"],
};

/** Whether a kind can be tried out without effect: what has a plan. */
export function canDryRun(kind: Kind): boolean {
  return STAGES_OF[kind] === BUILDS;
}

/** Which stages a request goes through: those of its kind, of a dry run up to its plan. */
export function stagesOf({ kind, dryRun }: Pick<Request, "kind" | "dryRun">): readonly Stage[] {
  const stages = STAGES_OF[kind];
  return dryRun === true ? stages.slice(0, stages.indexOf("planning") + 1) : stages;
}

/**
 * Where a run or a transaction is. `queued`: waits for its turn or a lock. The stages: working. `rollingBack`: undoing a
 * stage that failed. `cleaning`: removing work trees. `finished`, `failed` and `cancelled` are final.
 */
export type RunState = "queued" | Stage | "cancelling" | "rollingBack" | "cleaning" | FinalState;
export const FINAL_STATES = ["finished", "failed", "cancelled"] as const;
export type FinalState = (typeof FINAL_STATES)[number];

/** Whether nothing will ever change again. */
export function isFinal(state: string): state is FinalState {
  return (FINAL_STATES as readonly string[]).includes(state);
}

/** What a finished transaction did. */
export interface TransactionResult {
  /** False where there was nothing to do. */
  readonly changed: boolean;
  /** The commit that was deployed, or empty. */
  readonly commit: string;
  /** Whether it takes effect at the next boot (staged) rather than having been written at once. */
  readonly staged: boolean;
  /** Packages of the new deployment against those of the one it was made from. */
  readonly diff: readonly PackageChange[];
  /** Digest of the plan that was, or would be, carried out; absent where there was none. */
  readonly plan?: string;
  /** Milliseconds each stage took, with the time spent waiting for locks apart. */
  readonly timings: readonly StageTiming[];
  /** One line for people. */
  readonly summary: string;
}

/** How long one stage of a run took. */
export interface StageTiming {
  readonly stage: Stage | "cleaning";
  /** Waiting for locks, before the stage began. */
  readonly waitedMs: number;
  readonly tookMs: number;
  /** Answered from a cache: nothing had to be done. */
  readonly cached: boolean;
}

/** Progress of a run; `fraction` never decreases. */
export interface Progress {
  /** 0 to 100 over the whole run. */
  readonly percent: number;
  /** What is being done, for people: "unpacking nginx". */
  readonly text: string;
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

/** How long something will still take, learned from earlier runs: half of them took no longer than the first, nine of ten than the second. */
export interface Estimate {
  readonly p50Ms: number;
  readonly p90Ms: number;
}

/** One line that a run has to say; kept, so that whoever attaches later gets it from the start. */
export interface RunMessage {
  readonly seq: number;
  readonly atMs: number;
  readonly level: "info" | "warning" | "error";
  readonly text: string;
}

/** A transaction as every client sees it: the value of its properties on the bus and of its row in the journal. */
export interface TransactionView {
  readonly id: string;
  readonly runId: string;
  readonly kind: Kind;
  /** The request as a command line: "install nginx vim". */
  readonly title: string;
  /** Without the user names and passwords of its addresses. */
  readonly request: Request;
  readonly caller: Caller;
  readonly requestClass: RequestClass;
  readonly state: RunState;
  readonly progress: Progress;
  /** Until the end, waiting included; null where nothing is known yet, or nothing more is to come. */
  readonly eta: Estimate | null;
  /** What a person should know while it lasts, such as a stage that makes no progress; empty where all is well. */
  readonly warning: string;
  /** Why it waits, for people ("waiting for sysroot, held by upgrade 7f3a…"); empty when it does not. */
  readonly waitingFor: string;
  /** Place among the queued, from 1; 0 when running or final. */
  readonly position: number;
  /** False from the point of no return on. */
  readonly cancellable: boolean;
  /** Other transactions that share the run, at most a hundred of them. */
  readonly joinedWith: readonly string[];
  /** How often a restarted daemon took the run up again. */
  readonly resumed: number;
  readonly createdMs: number;
  readonly endedMs: number;
  readonly result: TransactionResult | null;
  readonly error: ErrorValue | null;
  /** The epoch of the snapshot that was current when this view was made. */
  readonly epoch: number;
}
