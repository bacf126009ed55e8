/**
 * One run: its actor, its locks, its progress and its journal row. The actor decides what comes next; everything that has an
 * effect goes through `#runStage`: locks, then a durable intent, then the effect, then a durable result.
 */
import { type Actor, createActor, fromPromise } from "xstate";
import { type StageVerdict, transactionMachine } from "../../machines/transaction.ts";
import { AptOstreeError, type ErrorValue, toErrorValue } from "../model/errors.ts";
import {
  type Kind,
  type Request,
  type RequestClass,
  type RunMessage,
  type RunState,
  STAGES_OF,
  type Stage,
  type StageTiming,
} from "../model/transaction.ts";
import type { Clock } from "./clock.ts";
import type { Locks } from "./locks.ts";
import type { Meter } from "./meter.ts";
import type { Engines, Journal, RunFacts, RunRow, StageIo, StageOutput } from "./ports.ts";
import type { StageProgress } from "./progress.ts";
import { resumeOf } from "./resume.ts";
import { RunLocks } from "./run-locks.ts";
import { RunMessages } from "./run-messages.ts";
import type { SnapshotHolder } from "./snapshot.ts";
import { durationText, type Phase, Watchdog } from "./watchdog.ts";

/** What a run needs of its surroundings. */
export interface RunDeps {
  readonly engines: Engines;
  readonly journal: Journal;
  readonly locks: Locks;
  readonly snapshots: SnapshotHolder;
  readonly log: { info(facts: object, text: string): void; error(facts: object, text: string): void };
  readonly clock: Clock;
  readonly meter: Meter;
  readonly bootId: string;
  /** Called after each change of state, progress or messages, after each stage, and once when the run has ended. */
  readonly onState: (run: Run) => void;
  readonly onProgress: (run: Run) => void;
  readonly onMessage: (run: Run, message: RunMessage) => void;
  readonly onStageDone: (run: Run, timing: StageTiming) => void;
  readonly onEnd: (run: Run) => void;
  /** Has written down what has been done to the sysroot. Where that cannot be it ends the daemon and never resolves: the next one looks, and goes on. */
  readonly afterEffect: (run: Run, write: () => Promise<void>) => Promise<void>;
}

/** After so many plans that were overtaken by other changes the run gives up. */
const MAX_PLANS = 8;

/** What a timer asks for may be skipped while the network is metered or the battery low. */
const UNASKED: readonly Kind[] = ["refresh", "prefetch", "upgrade"];

/** A run from its first journal row to its final state. */
export class Run {
  readonly id: string;
  /** The transaction it was made for. */
  readonly transactionId: string;
  readonly messages: RunMessages;
  /** The most urgent class of those who want it. */
  requestClass: RequestClass;
  readonly #deps: RunDeps;
  readonly #locks: RunLocks;
  readonly #watchdog: Watchdog;
  #row: RunRow;
  #actor: Actor<typeof transactionMachine> | undefined;
  #abort = new AbortController();
  /** Why the stage was aborted, where that was no cancel. */
  #interruption: StageVerdict | AptOstreeError | null = null;
  #stageProgress: StageProgress | null = null;
  #stageBeganMs = 0;
  #cancelledMs = 0;
  #text = "";
  #bytes = { done: 0, total: 0 };
  #waitsOutside: string | null = null;
  #plans = 0;

  constructor(row: RunRow, transactionId: string, requestClass: RequestClass, deps: RunDeps) {
    this.id = row.id;
    this.transactionId = transactionId;
    this.requestClass = requestClass;
    this.#row = row;
    this.#deps = deps;
    this.#locks = new RunLocks(row.id, deps.locks);
    this.messages = new RunMessages(row.id, {
      journal: deps.journal,
      clock: deps.clock,
      onMessage: (message) => deps.onMessage(this, message),
      onRefused: (err) => deps.log.error({ run: row.id, err }, "the journal refused a message"),
    });
    this.#watchdog = new Watchdog({
      clock: deps.clock,
      onWarning: () => deps.onState(this),
      onExpired: (phase, afterMs) => this.#expired(phase, afterMs),
    });
    this.#watchdog.enter("waiting");
  }

  get row(): RunRow {
    return this.#row;
  }

  get request(): Request {
    return this.#row.request;
  }

  /** The stage it is in and how much of that is done; null before the first. */
  get stageProgress(): (StageProgress & { readonly elapsedMs: number }) | null {
    return this.#stageProgress === null ? null : { ...this.#stageProgress, elapsedMs: this.#deps.clock.monotonicMs() - this.#stageBeganMs };
  }

  /** What is being done, for people, and the bytes of it. */
  get doing(): { readonly text: string; readonly bytesDone: number; readonly bytesTotal: number } {
    return { text: this.#text, bytesDone: this.#bytes.done, bytesTotal: this.#bytes.total };
  }

  /** What people should know; empty while all is well. */
  get warning(): string {
    return this.#watchdog.warning;
  }

  /** Who outside of the daemon is waited for; null where nobody is. */
  get waitsOutside(): string | null {
    return this.#waitsOutside;
  }

  /** Whether it has had its turn. */
  get begun(): boolean {
    return this.#actor !== undefined;
  }

  /** The stage that its actor is in, waiting or working. */
  get stage(): Stage | null {
    const value = this.#actor?.getSnapshot().value;
    return value === undefined || typeof value === "string" ? null : (Object.keys(value)[0] as Stage);
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

  /** Whether it holds the assembler's lock or is past it: what it does now can no longer be added to. */
  get assembles(): boolean {
    return this.#locks.updatesSysroot;
  }

  /** The error it ended with, or is ending with. */
  get error(): ErrorValue | null {
    return this.#row.error;
  }

  /** Starts the actor: a new run from the beginning, one found in the journal where it was, or at its clean-up. */
  begin(): void {
    const machine = transactionMachine.provide({
      actors: {
        runStage: fromPromise(({ input }) => this.#runStage(input.stage)),
        rollBack: fromPromise(() => this.#guard("rollingBack", () => this.#rollBack())),
        clean: fromPromise(() => this.#guard("cleaning", () => this.#clean())),
      },
      actions: { abortStage: () => this.#abort.abort() },
    });
    const resume = resumeOf(this.#row);
    this.#row = { ...this.#row, error: resume.error, cancelRequested: resume.cancelRequested };
    const actor = createActor(machine, { input: { runId: this.id, stages: STAGES_OF[this.request.kind], resume } });
    this.#actor = actor;
    actor.subscribe({ next: () => this.#moved(), error: (error) => this.#deps.log.error({ err: error }, "the actor of a run failed") });
    actor.start();
  }

  /** Asks the run to stop; durable before it is obeyed. Throws TooLate past the point of no return. */
  async cancel(): Promise<void> {
    if (this.state === "cancelling" || (!this.begun && this.#row.cancelRequested)) return;
    if (!this.cancellable) throw tooLate(this.transactionId);
    this.#row = { ...this.#row, cancelRequested: true };
    try {
      await this.#save();
      if (!this.cancellable) throw tooLate(this.transactionId);
    } catch (error) {
      this.#row = { ...this.#row, cancelRequested: false };
      throw error;
    }
    this.#cancelledMs = this.#deps.clock.monotonicMs();
    if (this.begun) this.#actor?.send({ type: "CANCEL" });
    else this.begin();
  }

  /**
   * Gives it another request: more people want more of it, or fewer less. What was done already is kept as far as it serves; a plan
   * that no longer fits is made again. Only while it is cancellable.
   */
  reshape(request: Request): void {
    const { request: before, facts, timings } = this.#row;
    this.#row = { ...this.#row, request };
    if (this.#actor === undefined) return;
    this.#actor.send({ type: "RESHAPE", stages: STAGES_OF[request.kind] });
    const stage = this.stage;
    if (stage === null || stage === "refreshing") return;
    const wantsNews = request.kind === "upgrade" && before.kind !== "upgrade";
    const stale = wantsNews && timings.findLast((timing) => timing.stage === "refreshing")?.cached === true;
    const fits = before.packages.join() === request.packages.join() && stage === "downloading" && facts.plan?.changed === true;
    if (stale || !fits) this.#interrupt(stale ? "refresh" : "replan");
  }

  /** It is what is left of a run that failed: nobody else is merged into it. */
  splinter(): void {
    this.#noteFacts({ splinter: true });
  }

  /** It will never begin: nothing of it is left running. */
  abandon(): void {
    this.#watchdog.leave();
  }

  /** Ends it as failed, as soon as its stage has stopped; only while it is cancellable. */
  fail(error: AptOstreeError): void {
    if (!this.cancellable) return;
    if (this.begun) this.#interrupt(error);
    else {
      this.#row = { ...this.#row, state: "cleaning", error: error.toValue() };
      this.begin();
    }
  }

  #interrupt(how: StageVerdict | AptOstreeError): void {
    this.#interruption = how;
    this.#abort.abort();
  }

  async #runStage(stage: Stage): Promise<StageVerdict> {
    this.#abort = new AbortController();
    this.#interruption = null;
    const { signal } = this.#abort;
    const { meter } = this.#deps;
    const askedMs = this.#deps.clock.monotonicMs();
    let beganMs: number | null = null;
    try {
      this.#watchdog.enter("waiting");
      await this.#locks.take(stage, this.requestClass, signal);
      if (stage === "deploying" || stage === "pruning") await this.#deps.engines.awaitSysroot(this.#outside(signal));
      if (signal.aborted) throw new AptOstreeError("Cancelled", "cancelled before the stage began");
      if (stage === "assembling" && this.#isOvertaken()) return this.#replan();
      beganMs = this.#deps.clock.monotonicMs();
      meter.observe("lock_wait_seconds", (beganMs - askedMs) / 1000, { stage });
      const { request } = this.#row;
      const output = await this.#work(stage, signal);
      this.#noteFacts(output.facts);
      if (output.verdict === "replan") {
        const verdict = this.#replan();
        await this.#save(stage, "done");
        return verdict;
      }
      const timing = { stage, waitedMs: beganMs - askedMs, tookMs: this.#deps.clock.monotonicMs() - beganMs, cached: output.cached };
      meter.observe("stage_seconds", timing.tookMs / 1000, { kind: request.kind, stage, cached: String(output.cached) });
      this.#row = { ...this.#row, timings: [...this.#row.timings, timing] };
      if (stage === "deploying" || stage === "pruning") {
        // What stands is neither undone nor told as failed because of a row.
        await this.#deps.afterEffect(this, async () => {
          await this.#deps.snapshots.refresh();
          await this.#save(stage, "done");
        });
      } else await this.#save(stage, "done");
      this.#reportStage(stage, 1, this.#text);
      if (stage !== "assembling") this.#locks.release();
      this.#deps.onStageDone(this, timing);
      if (this.#interruption !== null) return this.#interrupted(this.#interruption);
      // Lists that a prefetch found fresh enough are not, for the upgrade that it has become meanwhile.
      if (
        output.verdict === "proceed" &&
        stage === "refreshing" &&
        output.cached &&
        request.kind !== this.request.kind &&
        this.request.kind === "upgrade"
      )
        return "refresh";
      return output.verdict;
    } catch (error) {
      // A failed deployment is rolled back under the same lock.
      if (stage !== "deploying") this.#locks.release();
      if (typeof this.#interruption === "string" && !this.#row.cancelRequested) {
        this.#locks.release();
        return this.#interruption;
      }
      throw await this.#failed(stage, error, signal);
    } finally {
      this.#watchdog.leave();
      this.#waitsOutside = null;
      const endedMs = this.#deps.clock.monotonicMs();
      if (beganMs !== null) {
        meter.observe("lock_hold_seconds", (endedMs - beganMs) / 1000, { stage });
        if (stage === "deploying") meter.observe("exclusive_seconds", (endedMs - beganMs) / 1000, {});
      }
      if (signal.aborted && this.#cancelledMs > 0) meter.observe("cancel_seconds", (endedMs - this.#cancelledMs) / 1000, { stage });
    }
  }

  /** The stage's work, its locks held: a durable intent, then the effect. */
  async #work(stage: Stage, signal: AbortSignal): Promise<StageOutput> {
    const { engines, snapshots, clock } = this.#deps;
    this.#stageBeganMs = clock.monotonicMs();
    this.#stageProgress = { stage, fraction: 0 };
    this.#watchdog.enter(stage);
    this.#actor?.send({ type: "STAGE_BEGAN" });
    // What is published may be a moment old, and what a deployment is compared with must not be.
    const first = stage === "deploying" && this.#row.facts.deploymentsBefore === undefined;
    if (first) await snapshots.refresh();
    this.#noteFacts(first ? { deploymentsBefore: snapshots.current.deployments.map((d) => d.id) } : {});
    await this.#save(stage, "intent");
    const why = stage === "refreshing" && this.#isUnasked() ? await engines.whyNotNow() : null;
    if (why !== null) return this.#skipped(why);
    const { request, facts } = this.#row;
    const input = { runId: this.id, request, transactionId: this.transactionId, facts, snapshot: snapshots.current };
    return await engines.stages[stage](input, this.#io(stage, signal));
  }

  /** What a timer wants, and can want again later. */
  #isUnasked(): boolean {
    return this.requestClass === "timer" && UNASKED.includes(this.request.kind);
  }

  /** Now is no time for it: it ends well with nothing done, unless a person has come to want it meanwhile. */
  #skipped(why: string): StageOutput {
    const outcome = { changed: false, commit: "", staged: false, diff: [], summary: `skipped: ${why}` };
    return { facts: { outcome }, cached: true, verdict: this.#isUnasked() ? "settled" : "refresh" };
  }

  /** Whether the snapshot that was planned against is no longer the current one. */
  #isOvertaken(): boolean {
    return this.#row.facts.plan?.epoch !== this.#deps.snapshots.current.epoch;
  }

  #replan(): StageVerdict {
    this.#locks.release();
    this.#plans += 1;
    if (this.#plans >= MAX_PLANS)
      throw new AptOstreeError("Conflict", `cannot go on: the sysroot was changed ${MAX_PLANS} times while this was planned`);
    // The newest lists there are: those of the first plan may name what the mirror has dropped since.
    const { deploymentsBefore: _, listsGeneration: __, ...facts } = this.#row.facts;
    this.#row = { ...this.#row, facts };
    return "replan";
  }

  #interrupted(how: StageVerdict | AptOstreeError): StageVerdict {
    this.#locks.release();
    if (typeof how !== "string") throw how;
    return how;
  }

  #io(stage: Stage, signal: AbortSignal): StageIo {
    const isBackground = (): boolean => this.requestClass === "timer";
    return {
      signal,
      // Read anew each time: a person may have come to want it.
      get background() {
        return isBackground();
      },
      progress: (fraction, text, bytes) => this.#reportStage(stage, fraction, text, bytes),
      message: (level, text) => this.messages.say(level, text),
    };
  }

  /** Another program has the sysroot: it is waited for, and named, before the point of no return. */
  #outside(signal: AbortSignal): Parameters<Engines["awaitSysroot"]>[0] {
    return {
      signal,
      waiting: (reason) => {
        this.#waitsOutside = reason;
        this.#deps.onState(this);
      },
    };
  }

  #expired(phase: Phase, afterMs: number): void {
    const what = phase === "waiting" ? "waited" : `was ${phase}`;
    this.fail(new AptOstreeError("Timeout", `cannot finish: it ${what} for more than ${durationText(afterMs)}`, { details: { phase } }));
  }

  /** Journals a failed stage; what the actor, and so the client, is told. */
  async #failed(stage: Stage, error: unknown, signal: AbortSignal): Promise<ErrorValue> {
    const reason = this.#interruption instanceof AptOstreeError && !this.#row.cancelRequested ? this.#interruption : error;
    const cancelled = signal.aborted && reason === error;
    const value: ErrorValue = cancelled ? { code: "Cancelled", message: "cancelled" } : toErrorValue(reason);
    if (value.code === "Internal") this.#deps.log.error({ run: this.id, stage, err: error }, "a stage failed unexpectedly");
    if (!cancelled) this.#row = { ...this.#row, error: this.#row.error ?? value };
    await this.#save(stage, "failed").catch((cause: unknown) => this.#deps.log.error({ run: this.id, err: cause }, "the journal refused a row"));
    return value;
  }

  async #rollBack(): Promise<void> {
    await this.#locks.keepForRollback();
    await this.#deps.engines.rollBack(this.transactionId);
    await this.#deps.snapshots.refresh();
  }

  async #clean(): Promise<void> {
    this.#locks.release();
    await this.#deps.engines.clean(this.id);
  }

  /** Turns what was thrown into the value that the machine keeps. */
  async #guard(phase: Phase, work: () => Promise<void>): Promise<void> {
    this.#watchdog.enter(phase);
    try {
      await work();
    } catch (error) {
      this.#deps.log.error({ run: this.id, err: error }, "clean-up failed");
      const value = toErrorValue(error);
      this.messages.say("warning", value.message);
      throw value;
    } finally {
      this.#watchdog.leave();
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
    const { clock, bootId, journal } = this.#deps;
    this.#row = { ...this.#row, updatedMs: clock.now(), bootId };
    const step = stage === undefined || phase === undefined ? undefined : { runId: this.id, stage, phase, atMs: clock.now() };
    await journal.updateRun(this.#row, step);
  }

  #reportStage(stage: Stage, fraction: number, text: string, bytes?: { done: number; total: number }): void {
    this.#watchdog.touch();
    this.#stageProgress = { stage, fraction };
    this.#text = text;
    this.#bytes = bytes ?? { done: 0, total: 0 };
    this.#deps.onProgress(this);
  }
}

/** The name of the outermost state: what the journal keeps and a later version must understand. */
function stateName(value: unknown): string {
  return typeof value === "string" ? value : (Object.keys(value as object)[0] ?? "queued");
}

function tooLate(id: string): AptOstreeError {
  return new AptOstreeError("TooLate", `cannot cancel ${id}: it is past its point of no return`);
}
