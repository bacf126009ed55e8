/**
 * One run: its actor, its locks, its progress and its journal row. The actor decides what comes next; everything that has an
 * effect goes through `#runStage`: locks, then a durable intent, then the effect; what was done to the sysroot is durable before
 * anything follows, the end of any other stage shares the commit of what follows.
 */
import { type Actor, createActor } from "xstate";
import { type RunWork, type StageVerdict, transactionMachine } from "../../machines/transaction.ts";
import { AptOstreeError, type ErrorValue, toErrorValue } from "../model/errors.ts";
import { type Request, type RequestClass, type RunState, type Stage, stagesOf } from "../model/transaction.ts";
import { Aftermath } from "./aftermath.ts";
import type { RunRow, StageIo, StageOutput, TransactionRow } from "./ports.ts";
import { comesToWantNews, redoneFor } from "./reshaping.ts";
import { resumeOf } from "./resume.ts";
import type { RunDeps } from "./run-deps.ts";
import { RunLocks } from "./run-locks.ts";
import { RunMessages } from "./run-messages.ts";
import { type Doing, RunProgress } from "./run-progress.ts";
import { RunRecord } from "./run-record.ts";
import { stageIn, stateIn, stateName } from "./run-state.ts";
import { StageWatch } from "./stage-watch.ts";
import { tooLate } from "./too-late.ts";
import { isUnasked, skipped } from "./unasked.ts";
import { durationText, type Phase, Watchdog } from "./watchdog.ts";

/** After so many plans that were overtaken by other changes the run gives up. */
const MAX_PLANS = 8;

/** A run from its first journal row to its final state. */
export class Run {
  readonly id: string;
  /** The transaction it was made for. */
  readonly transactionId: string;
  readonly messages: RunMessages;
  readonly #deps: RunDeps;
  readonly #record: RunRecord;
  readonly #progress: RunProgress;
  readonly #locks: RunLocks;
  readonly #watchdog: Watchdog;
  readonly #aftermath: Aftermath;
  #actor: Actor<typeof transactionMachine> | undefined;
  #requestClass: RequestClass = "timer";
  /** Aborted once a person wants it. */
  readonly #awaited = new AbortController();
  #abort = new AbortController();
  /** Why the stage was aborted, where that was no cancel. */
  #interruption: StageVerdict | AptOstreeError | null = null;
  #cancelledMs = 0;
  #waitsOutside: string | null = null;
  #plans = 0;

  constructor(row: RunRow, transactionId: string, requestClass: RequestClass, deps: RunDeps) {
    this.id = row.id;
    this.transactionId = transactionId;
    this.requestClass = requestClass;
    this.#deps = deps;
    this.#record = new RunRecord(row, deps);
    this.#progress = new RunProgress(deps.clock);
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
    this.#aftermath = new Aftermath({ runId: row.id, transactionId, deps, locks: this.#locks, messages: this.messages, watchdog: this.#watchdog });
  }

  /** The most urgent class of those who want it. */
  get requestClass(): RequestClass {
    return this.#requestClass;
  }

  set requestClass(requestClass: RequestClass) {
    this.#requestClass = requestClass;
    if (requestClass !== "timer") this.#awaited.abort();
  }

  get row(): RunRow {
    return this.#record.row;
  }

  get request(): Request {
    return this.row.request;
  }

  /** The stage it is in and how much of that is done; null before the first. */
  get stageProgress(): RunProgress["at"] {
    return this.#progress.at;
  }

  /** What is being done, for people, and the bytes of it. */
  get doing(): Doing {
    return this.#progress.doing;
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
    return stageIn(this.#actor?.getSnapshot().value);
  }

  /** The state as clients see it. */
  get state(): RunState {
    return stateIn(this.#actor?.getSnapshot().value);
  }

  /** Whether a CANCEL would still be obeyed. */
  get cancellable(): boolean {
    return this.#actor?.getSnapshot().can({ type: "CANCEL" }) ?? true;
  }

  /** Whether another caller may still be joined: not once it is being cancelled or its deployment is being written. */
  get joinable(): boolean {
    return this.cancellable && !this.row.cancelRequested;
  }

  /** Whether it holds the assembler's lock or is past it: what it does now can no longer be added to. */
  get assembles(): boolean {
    return this.#locks.updatesSysroot;
  }

  /** Starts the actor: a new run from the beginning, one found in the journal where it was, or at its clean-up. */
  begin(): void {
    const work: RunWork = {
      runStage: (stage) => this.#runStage(stage),
      abortStage: () => this.#abort.abort(),
      rollBack: () => this.#aftermath.rollBack(),
      clean: () => this.#aftermath.clean(),
    };
    const resume = resumeOf(this.row, this.#deps.bootId);
    this.#record.change({ error: resume.error, cancelRequested: resume.cancelRequested });
    const actor = createActor(transactionMachine, { input: { work, stages: stagesOf(this.request), resume } });
    this.#actor = actor;
    actor.subscribe({ next: () => this.#moved(), error: (error) => this.#deps.log.error({ err: error }, "the actor of a run failed") });
    actor.start();
  }

  /** Asks the run to stop; durable before it is obeyed. Throws TooLate past the point of no return. */
  async cancel(): Promise<void> {
    if (this.state === "cancelling" || (!this.begun && this.row.cancelRequested)) return;
    if (!this.cancellable) throw tooLate(this.transactionId);
    this.#record.change({ cancelRequested: true });
    try {
      await this.#record.save();
      if (!this.cancellable) throw tooLate(this.transactionId);
    } catch (error) {
      this.#record.change({ cancelRequested: false });
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
    const before = this.row;
    this.#record.change({ request });
    if (this.#actor === undefined) return;
    this.#actor.send({ type: "RESHAPE", stages: stagesOf(request) });
    const redone = redoneFor(before, request, this.stage);
    if (redone !== null) this.#interrupt(redone);
  }

  /** It is what is left of a run that failed: nobody else is merged into it. */
  splinter(): void {
    this.#record.note({ splinter: true });
  }

  /** Writes that it has ended, in one commit with the transactions that end with it. */
  async end(transactions: readonly TransactionRow[]): Promise<void> {
    await this.#record.end(transactions);
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
      this.#record.change({ state: "cleaning", error: error.toValue() });
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
    const watch = new StageWatch(stage, this.#deps);
    try {
      this.#watchdog.enter("waiting");
      await this.#locks.take(stage, this.requestClass, signal);
      if (stage === "deploying" || stage === "pruning") await this.#deps.engines.awaitSysroot({ signal, waiting: (why) => this.#waits(why) });
      if (signal.aborted) throw new AptOstreeError("Cancelled", "cancelled before the stage began");
      // The snapshot that was planned against is no longer the current one.
      if (stage === "assembling" && this.row.facts.plan?.epoch !== this.#deps.snapshots.current.epoch) return this.#replan();
      watch.began();
      const { request } = this.row;
      const output = await this.#perform(stage, signal);
      this.#record.note(output.facts);
      if (output.verdict === "replan") {
        const verdict = this.#replan();
        this.#record.owe(stage, "done");
        return verdict;
      }
      const timing = watch.worked(request.kind, output.cached);
      this.#record.addTiming(timing);
      if (stage === "deploying" || stage === "pruning") {
        // What stands is neither undone nor told as failed because of a row.
        await this.#deps.afterEffect(this, async () => {
          await this.#deps.snapshots.refresh();
          await this.#record.step(stage, "done");
        });
      } else this.#record.owe(stage, "done");
      this.#report(stage, 1);
      if (stage !== "assembling") this.#locks.release();
      this.#deps.onStageDone(this, timing);
      if (this.#interruption !== null) return this.#interrupted(this.#interruption);
      // Lists that a prefetch found fresh enough are not, for the upgrade that it has become meanwhile.
      const wantsNews = stage === "refreshing" && output.cached && comesToWantNews(request, this.request);
      return wantsNews && output.verdict === "proceed" ? "refresh" : output.verdict;
    } catch (error) {
      // A failed deployment is rolled back under the same lock.
      if (stage !== "deploying") this.#locks.release();
      if (typeof this.#interruption === "string" && !this.row.cancelRequested) {
        this.#locks.release();
        return this.#interruption;
      }
      throw await this.#failed(stage, error, signal);
    } finally {
      this.#watchdog.leave();
      this.#waitsOutside = null;
      watch.ended(signal.aborted ? this.#cancelledMs : 0);
    }
  }

  /** The stage's work, its locks held: a durable intent, then the effect. */
  async #perform(stage: Stage, signal: AbortSignal): Promise<StageOutput> {
    const { engines, snapshots } = this.#deps;
    this.#progress.begin(stage);
    this.#watchdog.enter(stage);
    this.#actor?.send({ type: "STAGE_BEGAN" });
    // What is published may be a moment old, and what a deployment is compared with must not be.
    const first = stage === "deploying" && this.row.facts.deploymentsBefore === undefined;
    if (first) await snapshots.refresh();
    this.#record.note(first ? { deploymentsBefore: snapshots.current.deployments.map((d) => d.id) } : {});
    await this.#record.step(stage, "intent");
    const why = stage === "refreshing" && isUnasked(this) ? await engines.whyNotNow() : null;
    if (why !== null) return skipped(why, this);
    const { request, facts } = this.row;
    const input = { runId: this.id, request, transactionId: this.transactionId, facts, snapshot: snapshots.current };
    return await engines.stages[stage](input, this.#io(stage, signal));
  }

  #replan(): StageVerdict {
    this.#locks.release();
    this.#plans += 1;
    if (this.#plans >= MAX_PLANS)
      throw new AptOstreeError("Conflict", `cannot go on: what it was planned on was changed ${MAX_PLANS} times meanwhile`);
    this.#record.forgetPlan();
    return "replan";
  }

  #interrupted(how: StageVerdict | AptOstreeError): StageVerdict {
    this.#locks.release();
    if (typeof how !== "string") throw how;
    return how;
  }

  #io(stage: Stage, signal: AbortSignal): StageIo {
    return {
      signal,
      awaited: this.#awaited.signal,
      progress: (fraction, text, bytes) => this.#report(stage, fraction, text, bytes),
      message: (level, text) => this.messages.say(level, text),
    };
  }

  /** Another program has the sysroot: it is named for as long as it is waited for. */
  #waits(reason: string | null): void {
    this.#waitsOutside = reason;
    this.#deps.onState(this);
  }

  #expired(phase: Phase, afterMs: number): void {
    const what = phase === "waiting" ? "waited" : `was ${phase}`;
    this.fail(new AptOstreeError("Timeout", `cannot finish: it ${what} for more than ${durationText(afterMs)}`, { details: { phase } }));
  }

  /** Journals a failed stage; what the actor, and so the client, is told. */
  async #failed(stage: Stage, error: unknown, signal: AbortSignal): Promise<ErrorValue> {
    const reason = this.#interruption instanceof AptOstreeError && !this.row.cancelRequested ? this.#interruption : error;
    const cancelled = signal.aborted && reason === error;
    const value: ErrorValue = cancelled ? { code: "Cancelled", message: "cancelled" } : toErrorValue(reason);
    if (value.code === "Internal") this.#deps.log.error({ run: this.id, stage, err: error }, "a stage failed unexpectedly");
    if (!cancelled) this.#record.change({ error: this.row.error ?? value });
    await this.#record
      .step(stage, "failed")
      .catch((cause: unknown) => this.#deps.log.error({ run: this.id, err: cause }, "the journal refused a row"));
    return value;
  }

  #moved(): void {
    const snapshot = this.#actor?.getSnapshot();
    if (snapshot === undefined) return;
    this.#record.change({ state: stateName(snapshot.value), error: this.row.error ?? snapshot.context.error });
    this.#deps.onState(this);
    if (snapshot.status === "done") this.#deps.onEnd(this);
  }

  #report(...what: Parameters<RunProgress["report"]>): void {
    this.#watchdog.touch();
    this.#progress.report(...what);
    this.#deps.onProgress(this);
  }
}
