/**
 * The scheduler: takes requests, puts together those that can share a run, has the others wait their turn, and takes up again what a
 * dead daemon left. A *transaction* belongs to one caller; a *run* is the work, and several transactions may share one.
 */
import { EventEmitter } from "node:events";
import { AptOstreeError } from "../model/errors.ts";
import { newId } from "../model/ids.ts";
import { titleOf } from "../model/request.ts";
import {
  type Caller,
  DEFAULT_SCHEDULING,
  type Request,
  type RequestClass,
  type RunMessage,
  type Scheduling,
  type TransactionView,
} from "../model/transaction.ts";
import { Admission, type Place, raise } from "./admission.ts";
import type { SchedulerApi, SchedulerEvents, StatusView } from "./api.ts";
import { Archive } from "./archive.ts";
import { Board } from "./board.ts";
import { type Clock, systemClock } from "./clock.ts";
import { busy, Endings } from "./endings.ts";

import { resolveLocals } from "./locals.ts";
import { LockHistory } from "./lock-history.ts";
import { Locks } from "./locks.ts";
import type { Member } from "./members.ts";
import type { Meter } from "./meter.ts";
import { Outlook } from "./outlook.ts";
import { Patience } from "./patience.ts";
import { persist } from "./persist.ts";
import type { TransactionRow } from "./ports.ts";
import { percentOf } from "./progress.ts";
import { recover } from "./recovery.ts";
import { Regrouping } from "./regrouping.ts";
import { newRunRow, newTransactionRow } from "./rows.ts";
import { Run } from "./run.ts";
import type { RunDeps } from "./run-deps.ts";
import type { SchedulerOptions } from "./scheduler-options.ts";
import { SnapshotHolder } from "./snapshot.ts";
import { tooLate } from "./too-late.ts";
import { resolveUndo } from "./undo.ts";
import { nameOf } from "./waiting.ts";
import { type LockReport, lockReport } from "./waits-for.ts";

const MAX_ACTIVE_OF_USER = 100;
/** At its start a daemon learns from so many transactions how long stages take. */
const LEARNED_TRANSACTIONS = 200;
const NO_METER: Meter = { count: () => {}, observe: () => {} };

/** See `SchedulerApi`. Call `start` once before anything else. */
export class Scheduler extends EventEmitter<SchedulerEvents> implements SchedulerApi {
  readonly #options: SchedulerOptions;
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #makeId: () => string;
  readonly #lockHistory = new LockHistory();
  readonly #outlook = new Outlook();
  readonly #locks: Locks;
  readonly #snapshots: SnapshotHolder;
  readonly #admission: Admission;
  readonly #board: Board;
  readonly #archive: Archive;
  readonly #endings: Endings;
  readonly #regrouping: Regrouping;
  readonly #patience: Patience;
  readonly #runDeps: RunDeps;
  #stopWatching: () => void = () => {};
  #closing = false;

  constructor(options: SchedulerOptions) {
    super();
    const { engines, journal, log, bootId, keepTransactions, clock = systemClock, meter = NO_METER, makeId = newId } = options;
    this.#options = options;
    this.#clock = clock;
    this.#meter = meter;
    this.#makeId = makeId;
    this.#locks = new Locks({
      now: () => clock.monotonicMs(),
      onChange: () => queueMicrotask(() => this.#tellWaiting()),
      onEvent: (change) => this.#lockHistory.record(change),
    });
    this.#snapshots = new SnapshotHolder(engines, journal, (snapshot) => this.emit("snapshot", snapshot));
    this.#admission = new Admission(clock, (run) => this.#begin(run));
    this.#board = new Board({
      clock,
      locks: this.#locks,
      admission: this.#admission,
      snapshots: this.#snapshots,
      outlook: this.#outlook,
      added: (view) => this.emit("added", view),
      changed: (view) => this.emit("changed", view),
      progressed: (view) => this.emit("progress", view),
    });
    const epoch = (): number => this.#snapshots.current.epoch;
    this.#archive = new Archive(this.#board, journal, epoch);
    this.#endings = new Endings({
      board: this.#board,
      journal,
      log,
      meter,
      clock,
      keepTransactions,
      epoch,
      emitFinished: (view) => this.emit("finished", view),
      onRunEnding: (run) => this.#admission.ending(run),
      onRunEnded: (run) => {
        this.#admission.ended(run);
        this.#board.forget(run);
      },
      split: (run, groups) => this.#regrouping.split(run, groups),
      isClosing: () => this.#closing,
    });
    this.#regrouping = new Regrouping({
      board: this.#board,
      admission: this.#admission,
      journal,
      log,
      newRun: (request, transactionId, requestClass) => this.#newRun(request, transactionId, requestClass),
      end: (member, state, error) => this.#endings.end(member, state, error),
    });
    this.#patience = new Patience({
      clock,
      waitingOf: (member) => this.#board.waitingOf(member.run),
      leave: (member, error) => this.#settle(member.run, this.#regrouping.leave(member, "failed", error.toValue())),
    });
    this.#runDeps = {
      engines,
      journal,
      log,
      clock,
      meter,
      bootId,
      locks: this.#locks,
      snapshots: this.#snapshots,
      onState: (run) => this.#moved(run),
      onProgress: (run) => this.#board.progressOf(run),
      onMessage: (run, message) => this.#said(run, message),
      onStageDone: (run, timing) => {
        this.#outlook.learn(run.row, timing);
        this.#settle(run, this.#endings.stageDone(run, timing));
      },
      onEnd: (run) => this.#settle(run, this.#endings.runEnded(run)),
      afterEffect: (run, write) => this.#afterEffect(run, write),
    };
  }

  /** Reads the sysroot, takes up what the journal has unfinished, and begins to watch for other writers. */
  async start(): Promise<void> {
    const { journal, engines, log } = this.#options;
    if (journal.setAside !== null) this.#snapshots.warn(`the journal was damaged and set aside as ${journal.setAside}; the history before is lost`);
    await this.#snapshots.refresh();
    for (const { run } of (await journal.transactions(LEARNED_TRANSACTIONS)).toReversed())
      for (const timing of run.timings) this.#outlook.learn(run, timing);
    await recover({
      journal,
      engines,
      log,
      admission: this.#admission,
      endings: this.#endings,
      makeRun: (row, transactionId) => new Run(row, transactionId, "timer", this.#runDeps),
      adopt: (row, run) => this.#adopt(row, run),
      onResumed: () => this.#meter.count("resumes_total", {}),
    });
    this.#stopWatching = engines.watchSysroot(() => {
      this.#snapshots.refresh().catch((error: unknown) => log.error({ err: error }, "cannot read the sysroot"));
    });
  }

  /** Takes no more requests; the running ones go on until the process ends and are resumed by the next daemon. */
  close(): void {
    this.#closing = true;
    this.#stopWatching();
    this.#board.close();
  }

  /** Whether nothing is running or waiting. */
  get idle(): boolean {
    return this.#board.members.size === 0;
  }

  /** A warning for `status`, under a new epoch. */
  async warn(text: string): Promise<void> {
    this.#snapshots.warn(text);
    await this.#snapshots.refresh();
  }

  status(): StatusView {
    return { snapshot: this.#snapshots.current, transactions: this.#board.views() };
  }

  async waitForStatus(sinceEpoch: number, timeoutMs: number, signal?: AbortSignal): Promise<StatusView> {
    await this.#snapshots.isAfter(sinceEpoch, timeoutMs, signal);
    return this.status();
  }

  async submit(asked: Request, caller: Caller, scheduling: Scheduling = DEFAULT_SCHEDULING): Promise<string> {
    const { journal, engines, log } = this.#options;
    this.#checkQuota(caller);
    const request = await resolveLocals(await resolveUndo(asked, journal), engines);
    this.#checkQuota(caller);
    const place = this.#admission.placeFor(request);
    if (scheduling.noWait) this.#refuseToWait(request, place);
    const id = this.#makeId();
    const run = place.meeting === "new" ? this.#newRun(request, id, scheduling.requestClass) : place.run;
    if (place.meeting === "new") this.#admission.add(run, place.after);
    else this.#regrouping.reshape(run, place.request);
    const row = newTransactionRow({ id, runId: run.id, request, caller, scheduling, createdMs: this.#clock.now() });
    const creating = journal.create(row, run.row);
    const created = creating.then(
      () => true,
      () => false,
    );
    // A member from now on: a run that ends while its row is being written must still answer it.
    const member = this.#enter(row, run, created);
    try {
      await creating;
    } catch (error) {
      this.#board.members.remove(member);
      this.#regrouping.withdrawn(run, caller.uid);
      throw error;
    }
    this.#meter.count("meetings_total", { meeting: place.meeting });
    log.info({ transaction: id, run: member.run.id, title: titleOf(request), uid: caller.uid, meeting: place.meeting }, "transaction accepted");
    this.#board.announce(member);
    if (member.ending) return id;
    this.#admission.enqueue(member.run, { uid: caller.uid });
    if (raise(member.run, scheduling.requestClass) || place.meeting === "promote") this.#admission.changed(member.run, caller.uid);
    if (place.meeting !== "new") this.#board.joined(member.run);
    this.#board.placesChanged();
    this.#patience.begin(member);
    return id;
  }

  async cancel(id: string, caller: Caller): Promise<void> {
    const member = this.#board.members.get(id);
    if (member === undefined) {
      const ended = await this.transaction(id);
      throw tooLate(id, `it has ${ended.state} already`);
    }
    const { run } = member;
    this.#options.log.info({ transaction: id, run: run.id, uid: caller.uid }, "cancel requested");
    if (member.ending || !run.cancellable) throw tooLate(id);
    if (this.#board.members.of(run).length === 1) return await run.cancel();
    await this.#regrouping.leave(member, "cancelled", { code: "Cancelled", message: "cancelled; others still want it" });
  }

  transaction(id: string): Promise<TransactionView> {
    return this.#archive.transaction(id);
  }

  transactions(limit: number): Promise<readonly TransactionView[]> {
    return this.#archive.transactions(limit);
  }

  messages(id: string, afterSeq: number): Promise<readonly RunMessage[]> {
    return this.#archive.messages(id, afterSeq);
  }

  lockReport(): LockReport {
    return lockReport(this.#locks.manager, this.#lockHistory);
  }

  async reload(): Promise<number> {
    return (await this.#snapshots.refresh()).epoch;
  }

  #checkQuota({ uid }: Caller): void {
    if (this.#closing) throw new AptOstreeError("Busy", "cannot take the request: the daemon is stopping");
    const count = this.#board.members.countOf(uid);
    if (count >= (this.#options.maxActiveOfUser ?? MAX_ACTIVE_OF_USER))
      throw new AptOstreeError("Busy", `cannot take the request: user ${uid} has ${count} transactions waiting or running`);
  }

  #refuseToWait(request: Request, place: Place): void {
    const holders = this.#admission.holdersFor(place, request);
    if (holders.length > 0)
      throw busy(
        titleOf(request),
        `it would wait for ${holders.map(nameOf).join(" and ")}`,
        holders.map(({ id }) => id),
      );
  }

  #newRun(request: Request, transactionId: string, requestClass: RequestClass): Run {
    const row = newRunRow(request, transactionId, { id: this.#makeId(), nowMs: this.#clock.now(), bootId: this.#options.bootId });
    return new Run(row, transactionId, requestClass, this.#runDeps);
  }

  #enter(row: TransactionRow, run: Run, created: Promise<boolean>): Member {
    const member: Member = { row, run, created, announced: false, ending: false, percent: 0, stopWaiting: () => {} };
    this.#board.members.add(member);
    return member;
  }

  #adopt(row: TransactionRow, run: Run): Member {
    const member = this.#enter(row, run, Promise.resolve(true));
    member.announced = true;
    for (const { stage } of run.row.timings)
      if (stage !== "cleaning") member.percent = Math.max(member.percent, percentOf(row.request, { stage, fraction: 1 }));
    raise(run, row.scheduling.requestClass);
    this.#patience.begin(member);
    return member;
  }

  #begin(run: Run): void {
    const waitedMs = Math.max(0, this.#clock.now() - run.row.createdMs);
    this.#meter.observe("queue_wait_seconds", waitedMs / 1000, { class: run.requestClass });
    run.begin();
    this.#board.placesChanged();
  }

  #moved(run: Run): void {
    this.#board.tellOf(run);
    for (const member of this.#board.members.of(run)) this.#patience.check(member);
  }

  #said(run: Run, message: RunMessage): void {
    for (const member of this.#board.members.of(run)) if (member.announced) this.emit("message", this.#board.view(member), message);
  }

  /** Who waits for locks behind whom has changed: everybody who waits is told. */
  #tellWaiting(): void {
    for (const ticket of this.#locks.manager.queue()) {
      const run = this.#admission.find(ticket.owner);
      if (run !== null) this.#moved(run);
    }
  }

  /** The sysroot has been changed: that is written down before anything else, or the daemon ends and the next one finds it done. */
  async #afterEffect(run: Run, write: () => Promise<void>): Promise<void> {
    const written = persist(write, { clock: this.#clock, log: this.#options.log, isClosing: () => this.#closing });
    this.#settle(run, written);
    await written.catch(() => new Promise<never>(() => undefined));
  }

  /** Without a journal nobody may be told: the daemon ends, and the next one takes the run up. */
  #settle(run: Run, work: Promise<void>): void {
    void work.catch((error: unknown) => {
      this.#options.log.error({ run: run.id, err: error }, "cannot journal the end of a transaction");
      if (!this.#closing) (this.#options.fatal ?? rethrow)(error);
    });
  }
}

/** Uncaught, it ends the process. */
function rethrow(error: unknown): never {
  throw error;
}
