/**
 * One run: its actor, its locks, its progress and its journal row. The actor decides what comes next; everything that has an
 * effect goes through `#runStage`: locks, then a durable intent, then the effect, then a durable result.
 */
import { type Actor, createActor, fromPromise } from "xstate";
import { type StageVerdict, type TransactionInput, transactionMachine } from "../../machines/transaction.ts";
import { AptOstreeError, type ErrorValue, toErrorValue } from "../model/errors.ts";
import { type Progress, type RunMessage, type RunState, STAGES, STAGES_OF, type Stage, type StageTiming } from "../model/transaction.ts";
import type { Lease, Locks } from "./locks.ts";
import { NEEDS_OF, WEIGHT_OF } from "./needs.ts";
import type { Engines, Journal, RunFacts, RunRow, StageIo } from "./ports.ts";
import type { SnapshotHolder } from "./snapshot.ts";

/** What a run needs of its surroundings. */
export interface RunDeps {
  readonly engines: Engines;
  readonly journal: Journal;
  readonly locks: Locks;
  readonly snapshots: SnapshotHolder;
  readonly log: { info(facts: object, text: string): void; error(facts: object, text: string): void };
  readonly now: () => number;
  readonly bootId: string;
  /** Called after each change of state, progress or messages, and once when the run has ended. */
  readonly onState: (run: Run) => void;
  readonly onProgress: (run: Run) => void;
  readonly onMessage: (run: Run, message: RunMessage) => void;
  readonly onEnd: (run: Run) => void;
}

/** After so many plans that were overtaken by other changes the run gives up. */
const MAX_PLANS = 8;
/** After so many daemons that died in it the run gives up. */
const MAX_RESUMES = 3;

/** A run from its first journal row to its final state. */
export class Run {
  readonly id: string;
  /** The transaction it was made for. */
  readonly transactionId: string;
  readonly messages: RunMessage[] = [];
  readonly #deps: RunDeps;
  #row: RunRow;
  #actor: Actor<typeof transactionMachine> | undefined;
  #abort = new AbortController();
  #lease: Lease | undefined;
  #progress: Progress = { percent: 0, text: "", bytesDone: 0, bytesTotal: 0 };
  #plans = 0;

  constructor(row: RunRow, transactionId: string, deps: RunDeps) {
    this.id = row.id;
    this.transactionId = transactionId;
    this.#row = row;
    this.#deps = deps;
  }

  get row(): RunRow {
    return this.#row;
  }

  get progress(): Progress {
    return this.#progress;
  }

  /** The state as clients see it. */
  get state(): RunState {
    const value = this.#actor?.getSnapshot().value ?? "queued";
    if (typeof value === "string") return value === "settling" ? "cleaning" : (value as RunState);
    const [stage, step] = Object.entries(value)[0] as [Stage, string];
    if (step === "cancelling") return "cancelling";
    return step === "waiting" ? "queued" : stage;
  }

  /** Whether a CANCEL would still be obeyed. */
  get cancellable(): boolean {
    return this.#actor?.getSnapshot().can({ type: "CANCEL" }) ?? true;
  }

  /** Whether another caller may still be joined: not once it is being cancelled or its deployment is being written. */
  get joinable(): boolean {
    return this.cancellable && !this.#row.cancelRequested;
  }

  /** Starts the actor: a new run from the beginning, one found in the journal where it was, or at its clean-up. */
  begin(): void {
    const machine = transactionMachine.provide({
      actors: {
        runStage: fromPromise(({ input }) => this.#runStage(input.stage)),
        rollBack: fromPromise(() => this.#guard(() => this.#rollBack())),
        clean: fromPromise(() => this.#guard(() => this.#clean())),
      },
      actions: { abortStage: () => this.#abort.abort() },
    });
    const actor = createActor(machine, { input: { runId: this.id, stages: STAGES_OF[this.#row.request.kind], resume: this.#resume() } });
    this.#actor = actor;
    actor.subscribe({ next: () => this.#moved(), error: (error) => this.#deps.log.error({ err: error }, "the actor of a run failed") });
    actor.start();
  }

  /** Asks the run to stop; durable before it is obeyed. Throws TooLate past the point of no return. */
  async cancel(): Promise<void> {
    if (this.state === "cancelling") return;
    if (!this.cancellable) throw tooLate(this.transactionId);
    this.#row = { ...this.#row, cancelRequested: true };
    try {
      await this.#save();
      if (!this.cancellable) throw tooLate(this.transactionId);
    } catch (error) {
      this.#row = { ...this.#row, cancelRequested: false };
      throw error;
    }
    this.#actor?.send({ type: "CANCEL" });
  }

  /** The error it ended with, or is ending with. */
  get error(): ErrorValue | null {
    return this.#row.error;
  }

  async #runStage(stage: Stage): Promise<StageVerdict> {
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const askedMs = this.#deps.now();
    try {
      await this.#lock(stage, signal);
      if (signal.aborted) throw new AptOstreeError("Cancelled", "cancelled before the stage began");
      if (stage === "assembling" && this.#isOvertaken()) return this.#replan();
      const beganMs = this.#deps.now();
      this.#actor?.send({ type: "STAGE_BEGAN" });
      // What is published may be a moment old, and what a deployment is compared with must not be.
      if (stage === "deploying" && this.#row.facts.deploymentsBefore === undefined) await this.#deps.snapshots.refresh();
      this.#noteFacts(stage === "deploying" && this.#row.facts.deploymentsBefore === undefined ? { deploymentsBefore: this.#deploymentIds() } : {});
      await this.#save(stage, "intent");
      const output = await this.#deps.engines.stages[stage](this.#stageInput(), this.#io(stage, signal));
      this.#noteFacts(output.facts);
      if (output.verdict === "replan") {
        const verdict = this.#replan();
        await this.#save(stage, "done");
        return verdict;
      }
      this.#row = { ...this.#row, timings: [...this.#row.timings, timing(stage, askedMs, beganMs, this.#deps.now(), output.cached)] };
      if (stage === "deploying" || stage === "pruning") await this.#deps.snapshots.refresh();
      await this.#save(stage, "done");
      this.#reportStage(stage, 1, this.#progress.text);
      if (stage !== "assembling") this.#release();
      return output.verdict;
    } catch (error) {
      // A failed deployment is rolled back under the same lock.
      if (stage !== "deploying") this.#release();
      throw await this.#failed(stage, error, signal);
    }
  }

  /** Takes the stage's locks; from assembling to deploying the one lease is kept and upgraded. */
  async #lock(stage: Stage, signal: AbortSignal): Promise<void> {
    if (stage === "deploying" && this.#lease !== undefined) {
      await this.#lease.upgrade("sysroot");
      return;
    }
    this.#release();
    const priority = this.#row.request.kind === "prefetch" ? "background" : "interactive";
    this.#lease = await this.#deps.locks.acquire(NEEDS_OF[stage], { owner: this.id, priority, signal });
  }

  #release(): void {
    this.#lease?.release();
    this.#lease = undefined;
  }

  /** Whether the snapshot that was planned against is no longer the current one. */
  #isOvertaken(): boolean {
    return this.#row.facts.plan?.epoch !== this.#deps.snapshots.current.epoch;
  }

  #replan(): StageVerdict {
    this.#release();
    this.#plans += 1;
    if (this.#plans >= MAX_PLANS)
      throw new AptOstreeError("Conflict", `cannot go on: the sysroot was changed ${MAX_PLANS} times while this was planned`);
    const { deploymentsBefore: _, ...facts } = this.#row.facts;
    this.#row = { ...this.#row, facts };
    return "replan";
  }

  #deploymentIds(): string[] {
    return this.#deps.snapshots.current.deployments.map((d) => d.id);
  }

  #stageInput() {
    const { request, facts } = this.#row;
    return { runId: this.id, request, transactionId: this.transactionId, facts, snapshot: this.#deps.snapshots.current };
  }

  #io(stage: Stage, signal: AbortSignal): StageIo {
    return {
      signal,
      background: this.#row.request.kind === "prefetch",
      progress: (fraction, text, bytes) => this.#reportStage(stage, fraction, text, bytes),
      message: (level, text) => this.#say(level, text),
    };
  }

  /** Journals a failed stage; what the actor, and so the client, is told. */
  async #failed(stage: Stage, error: unknown, signal: AbortSignal): Promise<ErrorValue> {
    const value: ErrorValue = signal.aborted ? { code: "Cancelled", message: "cancelled" } : toErrorValue(error);
    if (value.code === "Internal") this.#deps.log.error({ run: this.id, stage, err: error }, "a stage failed unexpectedly");
    if (!signal.aborted) this.#row = { ...this.#row, error: this.#row.error ?? value };
    await this.#save(stage, "failed").catch((cause: unknown) => this.#deps.log.error({ run: this.id, err: cause }, "the journal refused a row"));
    return value;
  }

  async #rollBack(): Promise<void> {
    this.#lease ??= await this.#deps.locks.acquire(NEEDS_OF.deploying, { owner: this.id, priority: "interactive" });
    await this.#deps.engines.rollBack(this.transactionId);
    await this.#deps.snapshots.refresh();
  }

  async #clean(): Promise<void> {
    this.#release();
    await this.#deps.engines.clean(this.id);
  }

  /** Turns what was thrown into the value that the machine keeps. */
  async #guard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#deps.log.error({ run: this.id, err: error }, "clean-up failed");
      const value = toErrorValue(error);
      this.#say("warning", value.message);
      throw value;
    }
  }

  #moved(): void {
    const snapshot = this.#actor?.getSnapshot();
    if (snapshot === undefined) return;
    this.#row = { ...this.#row, state: stateName(snapshot.value), error: this.#row.error ?? snapshot.context.error };
    this.#deps.onState(this);
    if (snapshot.status === "done") this.#deps.onEnd(this);
  }

  #noteFacts(facts: RunFacts): void {
    this.#row = { ...this.#row, facts: { ...this.#row.facts, ...facts } };
  }

  async #save(stage?: Stage, phase?: "intent" | "done" | "failed"): Promise<void> {
    this.#row = { ...this.#row, updatedMs: this.#deps.now(), bootId: this.#deps.bootId };
    const step = stage === undefined || phase === undefined ? undefined : { runId: this.id, stage, phase, atMs: this.#deps.now() };
    await this.#deps.journal.updateRun(this.#row, step);
  }

  #reportStage(stage: Stage, fraction: number, text: string, bytes?: { done: number; total: number }): void {
    const stages = STAGES_OF[this.#row.request.kind];
    const total = stages.reduce((sum, s) => sum + WEIGHT_OF[s], 0);
    const before = stages.slice(0, stages.indexOf(stage)).reduce((sum, s) => sum + WEIGHT_OF[s], 0);
    const percent = (100 * (before + WEIGHT_OF[stage] * Math.min(Math.max(fraction, 0), 1))) / total;
    this.#progress = {
      percent: Math.max(this.#progress.percent, Math.round(percent * 10) / 10),
      text,
      bytesDone: bytes?.done ?? 0,
      bytesTotal: bytes?.total ?? 0,
    };
    this.#deps.onProgress(this);
  }

  #say(level: RunMessage["level"], text: string): void {
    const message: RunMessage = { seq: this.messages.length + 1, atMs: this.#deps.now(), level, text };
    this.messages.push(message);
    this.#deps.journal
      .addMessages(this.id, [message])
      .catch((error: unknown) => this.#deps.log.error({ run: this.id, err: error }, "the journal refused a message"));
    this.#deps.onMessage(this, message);
  }

  /** Where a run from the journal goes on. What was cancelled is not begun again, save a deployment, which may stand already. */
  #resume(): NonNullable<TransactionInput["resume"]> {
    const { state, resumed, cancelRequested } = this.#row;
    if (resumed > MAX_RESUMES) {
      const error: ErrorValue = { code: "Internal", message: `internal error: the daemon ended ${resumed} times in the stage ${state}` };
      this.#row = { ...this.#row, error };
      // What was deployed halfway is undone, but not for ever where it is that which ends the daemon.
      const undo = state === "deploying" && resumed === MAX_RESUMES + 1;
      return { at: undo ? "rollingBack" : "cleaning", error, cancelRequested: false };
    }
    const { error, facts } = this.#row;
    const stage = STAGES.find((s) => s === state);
    if (state === "rollingBack" || state === "cleaning" || state === "settling")
      return { at: state === "rollingBack" ? state : "cleaning", error, cancelRequested };
    // What the journal says was done, or has failed, is not tried again.
    const wasLast = stage !== undefined && STAGES_OF[this.#row.request.kind].at(-1) === stage;
    if (wasLast && this.#row.timings.at(-1)?.stage === stage) return { at: "cleaning", error, cancelRequested: false };
    if (error !== null) return { at: stage === "deploying" ? "rollingBack" : "cleaning", error, cancelRequested: false };
    const mayStand = stage === "deploying" && facts.deploymentsBefore !== undefined;
    if (cancelRequested && !mayStand) return { at: "cleaning", error, cancelRequested };
    this.#row = { ...this.#row, cancelRequested: false };
    return { at: stage ?? null, error: null, cancelRequested: false };
  }
}

/** The name of the outermost state: what the journal keeps and a later version must understand. */
function stateName(value: unknown): string {
  return typeof value === "string" ? value : (Object.keys(value as object)[0] ?? "queued");
}

function timing(stage: Stage, askedMs: number, beganMs: number, endedMs: number, cached: boolean): StageTiming {
  return { stage, waitedMs: beganMs - askedMs, tookMs: endedMs - beganMs, cached };
}

function tooLate(id: string): AptOstreeError {
  return new AptOstreeError("TooLate", `cannot cancel ${id}: it is past its point of no return`);
}
