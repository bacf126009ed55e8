/**
 * The chart of a run: which stages may follow which, where it may be cancelled, and that cleaning comes last, always. Pure:
 * no I/O, no timers; the work is done by the `RunWork` that an actor is given: one chart serves all runs, as making one takes
 * longer than a run with nothing to do. One invoke a stage, owned by the stage's state, so that leaving `cancelling` means the
 * work has ended and not just that it was told to (an abandoned promise would go on with its locks).
 */
import { assign, fromPromise, setup } from "xstate";
import type { ErrorValue } from "../src/model/errors.ts";
import { STAGES, type Stage } from "../src/model/transaction.ts";

/** What a run does when its chart says so. What is rejected with is an `ErrorValue`. */
export interface RunWork {
  /** Takes the stage's locks, journals the intent, does the work, notes the result. */
  runStage(stage: Stage): Promise<StageVerdict>;
  /** Tells the running stage to stop; its promise is still awaited. */
  abortStage(): void;
  /** Undoes what a failed deployment may have left; looks first. */
  rollBack(): Promise<void>;
  /** Removes work trees, children and mounts of the run. */
  clean(): Promise<void>;
}

/** What the machine must know to decide; everything else is in the journal row. */
export interface TransactionContext {
  readonly work: RunWork;
  /** The stages of this kind of run, in order; others where the run has come to do more, or less. */
  readonly stages: readonly Stage[];
  /** Why it will end as failed; set by the first failing stage. */
  readonly error: ErrorValue | null;
  readonly cancelRequested: boolean;
  /** Where a run that was found in the journal goes on; null for a new one. */
  readonly resumeAt: ResumePoint | null;
}

/** The states that a run can be taken up in again. */
export type ResumePoint = Stage | "rollingBack" | "cleaning";

/** What an actor of the machine is made from. */
export interface TransactionInput {
  readonly work: RunWork;
  readonly stages: readonly Stage[];
  readonly resume?: { readonly at: ResumePoint | null; readonly error: ErrorValue | null; readonly cancelRequested: boolean };
}

/** `STAGE_BEGAN`: the locks of the stage are held and its work begins. `RESHAPE`: the run is to do what another request wants. */
export type TransactionEvent = { type: "CANCEL" } | { type: "STAGE_BEGAN" } | { type: "RESHAPE"; stages: readonly Stage[] };

/** How a stage ended well: go on, plan again because the sysroot or the request changed, even with fresh lists, or nothing more to do. */
export type StageVerdict = "proceed" | "replan" | "refresh" | "settled";

interface ActorInput {
  readonly work: RunWork;
}

interface DoneEvent {
  readonly output?: unknown;
  readonly error?: unknown;
}

const base = setup({
  types: {
    context: {} as TransactionContext,
    events: {} as TransactionEvent,
    input: {} as TransactionInput,
  },
  actors: {
    runStage: fromPromise<StageVerdict, ActorInput & { readonly stage: Stage }>(({ input }) => input.work.runStage(input.stage)),
    rollBack: fromPromise<void, ActorInput>(({ input }) => input.work.rollBack()),
    clean: fromPromise<void, ActorInput>(({ input }) => input.work.clean()),
  },
  actions: {
    abortStage: ({ context }) => context.work.abortStage(),
    noteCancel: assign({ cancelRequested: true }),
    takeStages: assign({ stages: ({ context, event }) => (event.type === "RESHAPE" ? event.stages : context.stages) }),
    noteError: assign({
      error: ({ context, event }) => context.error ?? ((event as DoneEvent).error as ErrorValue),
    }),
  },
  guards: {
    resumesAt: ({ context }, params: { point: ResumePoint }) => context.resumeAt === params.point,
    uses: ({ context }, params: { stage: Stage }) => context.stages.includes(params.stage),
    verdictIs: ({ event }, params: { verdict: StageVerdict }) => (event as DoneEvent).output === params.verdict,
    mustReplan: ({ context, event }) => (event as DoneEvent).output === "replan" && context.stages.includes("planning"),
    mustRefresh: ({ context, event }) => (event as DoneEvent).output === "refresh" && context.stages.includes("refreshing"),
    cancelRequested: ({ context }) => context.cancelRequested,
    hasFailed: ({ context }) => context.error !== null,
  },
});

/** The guarded transitions to the next stage that this kind of run uses, or to cleaning after the last. */
function nextAfter(stage: Stage | null) {
  const later = stage === null ? STAGES : STAGES.slice(STAGES.indexOf(stage) + 1);
  return [
    ...later.map((target) => ({ guard: { type: "uses" as const, params: { stage: target } }, target: `#run.${target}` })),
    { target: "#run.cleaning" },
  ];
}

/** Where a run begins: at its first stage, or where it was when its daemon died (a restored actor would not start its invoke). */
function beginAt() {
  const points: readonly ResumePoint[] = [...STAGES, "rollingBack", "cleaning"];
  return [...points.map((point) => ({ guard: { type: "resumesAt" as const, params: { point } }, target: `#run.${point}` })), ...nextAfter(null)];
}

/** After a stage: a cancelled or settled run cleans up, a stale plan is made again, else the next stage follows. */
function onStageDone(stage: Stage) {
  return [
    { guard: "cancelRequested" as const, target: "#run.cleaning" },
    { guard: { type: "verdictIs" as const, params: { verdict: "settled" as const } }, target: "#run.cleaning" },
    // Entered anew even from planning itself: only then is its actor made again.
    { guard: "mustReplan" as const, target: "#run.planning", reenter: true },
    { guard: "mustRefresh" as const, target: "#run.refreshing", reenter: true },
    ...nextAfter(stage),
  ];
}

/** A stage that stops when it is told to, at any time. */
function cancellableStage(stage: Stage, description: string) {
  return {
    description,
    initial: "waiting" as const,
    invoke: {
      src: "runStage" as const,
      input: ({ context }: { context: TransactionContext }) => ({ work: context.work, stage }),
      onDone: onStageDone(stage),
      onError: [
        { guard: "cancelRequested" as const, target: "#run.cleaning" },
        { target: "#run.cleaning", actions: "noteError" as const },
      ],
    },
    on: { CANCEL: { target: `.cancelling`, actions: ["noteCancel" as const, "abortStage" as const] } },
    states: {
      waiting: { description: "waits for its locks", on: { STAGE_BEGAN: "working" } },
      working: { description: "holds its locks" },
      cancelling: { description: "told to stop; still ending its children" },
    },
  };
}

/** The machine of every kind of run. */
export const transactionMachine = base.createMachine({
  id: "run",
  context: ({ input }) => ({
    work: input.work,
    stages: input.stages,
    error: input.resume?.error ?? null,
    cancelRequested: input.resume?.cancelRequested ?? false,
    resumeAt: input.resume?.at ?? null,
  }),
  initial: "queued",
  on: { RESHAPE: { actions: "takeStages" } },
  states: {
    queued: {
      description: "journalled; begins when it has its turn, its first stage waits for its locks",
      always: beginAt(),
    },
    refreshing: cancellableStage("refreshing", "fetches package lists and the base's new commit"),
    planning: cancellableStage("planning", "the tree's own apt decides, in a read-only sandbox without network"),
    downloading: cancellableStage("downloading", "fills the shared archive cache, every file verified"),
    assembling: cancellableStage("assembling", "apt and dpkg run on an overlay; what they changed is committed"),
    deploying: {
      description: "writes the deployment; the point of no return is where its work begins",
      initial: "waiting",
      invoke: {
        src: "runStage",
        input: ({ context }) => ({ work: context.work, stage: "deploying" as const }),
        onDone: [{ guard: "mustReplan", target: "planning" }, { guard: "mustRefresh", target: "refreshing" }, { target: "cleaning" }],
        onError: [
          { guard: "cancelRequested", target: "cleaning" },
          { target: "rollingBack", actions: "noteError" },
        ],
      },
      states: {
        waiting: {
          description: "waits for the exclusive lock; can still be cancelled",
          on: { STAGE_BEGAN: "committing", CANCEL: { target: "cancelling", actions: ["noteCancel", "abortStage"] } },
        },
        committing: { description: "past the point of no return", tags: "committed" },
        cancelling: { description: "told to stop before it began" },
      },
    },
    pruning: {
      ...cancellableStage("pruning", "removes deployments, commits and caches nobody needs"),
    },
    rollingBack: {
      description: "undoes what a failed deployment left",
      tags: "committed",
      invoke: {
        src: "rollBack",
        input: ({ context }) => ({ work: context.work }),
        onDone: "cleaning",
        onError: "cleaning",
      },
    },
    cleaning: {
      description: "removes work trees; cannot be cancelled, and what it leaves does not change how the run ended",
      tags: "committed",
      invoke: {
        src: "clean",
        input: ({ context }) => ({ work: context.work }),
        onDone: "settling",
        onError: "settling",
      },
    },
    settling: {
      always: [{ guard: "hasFailed", target: "failed" }, { guard: "cancelRequested", target: "cancelled" }, { target: "finished" }],
    },
    finished: { type: "final", description: "done, or there was nothing to do" },
    failed: { type: "final", description: "the old state stands; the error says why" },
    cancelled: { type: "final", description: "stopped before its point of no return" },
  },
});
