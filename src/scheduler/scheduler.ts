/**
 * The scheduler: takes requests, joins those that are alike, runs the others side by side under the locks, and takes up again
 * what a dead daemon left. A *transaction* belongs to one caller; a *run* is the work, and several transactions may share one.
 */
import { EventEmitter } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { AptOstreeError, type ErrorValue, toErrorValue } from "../model/errors.ts";
import { isId, newId } from "../model/ids.ts";
import { titleOf } from "../model/names.ts";
import { digestOf } from "../model/plan.ts";
import { type Caller, type FinalState, isFinal, type Request, type RunMessage, type TransactionView } from "../model/transaction.ts";
import type { SchedulerApi, SchedulerEvents, StatusView } from "./api.ts";
import { Locks } from "./locks.ts";
import type { Engines, Journal, RunRow, TransactionRow } from "./ports.ts";
import { endErrorOf, newRunRow, newTransactionRow } from "./rows.ts";
import { Run, type RunDeps } from "./run.ts";
import { SnapshotHolder } from "./snapshot.ts";
import { Throttle } from "./throttle.ts";
import { activeView, endedView, resultOf, waitingOf } from "./views.ts";

/** What the scheduler is made of. */
export interface SchedulerOptions {
  readonly engines: Engines;
  readonly journal: Journal;
  readonly log: RunDeps["log"];
  /** The kernel's boot id. */
  readonly bootId: string;
  /** Ended transactions that the journal keeps. */
  readonly keepTransactions: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const PROGRESS_INTERVAL_MS = 100;
/** Transactions that one user may have waiting or running. */
const MAX_ACTIVE_OF_USER = 100;
/** Ended transactions between two trims of the journal. */
const TRIM_EVERY = 50;
/** How long a full disk is given before the end of a run is written again. */
const RETRY_MS = 1000;

interface Active {
  row: TransactionRow;
  readonly run: Run;
  /** Whether its row became durable; never rejects. */
  readonly created: Promise<boolean>;
  /** Its row is durable and `added` was told: nothing is said of it before. */
  announced: boolean;
  /** Its end is being written: it has no part in its run any more. */
  ending: boolean;
}

/** See `SchedulerApi`. Call `start` once before anything else. */
export class Scheduler extends EventEmitter<SchedulerEvents> implements SchedulerApi {
  readonly #options: SchedulerOptions;
  readonly #locks: Locks;
  readonly #snapshots: SnapshotHolder;
  readonly #runs = new Map<string, Run>();
  readonly #active = new Map<string, Active>();
  readonly #throttle = new Throttle(PROGRESS_INTERVAL_MS, (id) => this.#tell(id, "progress"));
  #stopWatching: () => void = () => {};
  #endedSinceTrim = 0;
  #closing = false;

  constructor(options: SchedulerOptions) {
    super();
    this.#options = options;
    this.#locks = new Locks({ now: () => performance.now(), onChange: () => queueMicrotask(() => this.#tellWaiting()) });
    this.#snapshots = new SnapshotHolder(options.engines, options.journal, (snapshot) => this.emit("snapshot", snapshot));
  }

  /** Reads the sysroot, takes up what the journal has unfinished, and begins to watch for other writers. */
  async start(): Promise<void> {
    const { journal, engines } = this.#options;
    if (journal.setAside !== null) this.#snapshots.warn(`the journal was damaged and set aside as ${journal.setAside}; the history before is lost`);
    await this.#snapshots.refresh();
    const resumed: Run[] = [];
    for (const { run, transactions } of await journal.unfinished()) {
      const taken = await this.#resume(run, transactions);
      if (taken !== null) resumed.push(taken);
    }
    // A deployment that was begun comes before whatever could change the sysroot under it.
    const wasDeploying = (run: Run): boolean => run.row.state === "deploying" || run.row.state === "rollingBack";
    for (const run of [...resumed.filter(wasDeploying), ...resumed.filter((r) => !wasDeploying(r))]) run.begin();
    this.#stopWatching = engines.watchSysroot(() => {
      this.#snapshots.refresh().catch((error: unknown) => this.#options.log.error({ err: error }, "cannot read the sysroot"));
    });
  }

  /** Takes no more requests; the running ones go on until the process ends and are resumed by the next daemon. */
  close(): void {
    this.#closing = true;
    this.#stopWatching();
  }

  /** Whether nothing is running or waiting. */
  get idle(): boolean {
    return this.#active.size === 0;
  }

  /** A warning for `status`. */
  warn(text: string): void {
    this.#snapshots.warn(text);
  }

  status(): StatusView {
    return { snapshot: this.#snapshots.current, transactions: [...this.#active.values()].filter((a) => a.announced).map((a) => this.#view(a)) };
  }

  async waitForStatus(sinceEpoch: number, timeoutMs: number, signal?: AbortSignal): Promise<StatusView> {
    await this.#snapshots.isAfter(sinceEpoch, timeoutMs, signal);
    return this.status();
  }

  async submit(request: Request, caller: Caller): Promise<string> {
    if (this.#closing) throw new AptOstreeError("Busy", "cannot take the request: the daemon is stopping");
    const ofUser = [...this.#active.values()].filter((a) => a.row.caller.uid === caller.uid).length;
    if (ofUser >= MAX_ACTIVE_OF_USER)
      throw new AptOstreeError("Busy", `cannot take the request: user ${caller.uid} has ${ofUser} transactions waiting or running`);
    const id = newId();
    const joined = this.#findJoinable(request);
    const run = joined ?? new Run(newRunRow(request, id, this.#options), id, this.#runDeps());
    const row = newTransactionRow(id, run.id, request, caller, this.#options.now());
    const creating = this.#options.journal.create(row, joined === null ? run.row : null);
    const created = creating.then(
      () => true,
      () => false,
    );
    const active: Active = { row, run, created, announced: false, ending: false };
    // A member from now on: a run that ends while its row is being written must still answer it.
    this.#active.set(id, active);
    this.#runs.set(run.id, run);
    try {
      await creating;
    } catch (error) {
      this.#active.delete(id);
      if (joined === null) this.#runs.delete(run.id);
      // The row of the run that it was to join may be the one that could not be written: it gets one of its own, or the real reason.
      else if (!this.#runs.has(run.id)) return await this.submit(request, caller);
      else this.#stopIfUnwanted(run);
      throw error;
    }
    this.#options.log.info(
      { transaction: id, run: run.id, title: titleOf(request), uid: caller.uid, joined: joined !== null },
      "transaction accepted",
    );
    this.#announce(active);
    if (joined === null) run.begin();
    else for (const other of this.#membersOf(run)) this.#tell(other.row.id, "changed");
    return id;
  }

  async cancel(id: string, caller: Caller): Promise<void> {
    const active = this.#active.get(id);
    if (active === undefined) {
      const ended = await this.transaction(id);
      throw new AptOstreeError("TooLate", `cannot cancel ${id}: it has ${ended.state} already`);
    }
    this.#options.log.info({ transaction: id, run: active.run.id, uid: caller.uid }, "cancel requested");
    const { run } = active;
    if (active.ending || !run.cancellable) throw new AptOstreeError("TooLate", `cannot cancel ${id}: it is past its point of no return`);
    if (this.#membersOf(run).length === 1) return await run.cancel();
    await this.#end(active, "cancelled", { code: "Cancelled", message: "cancelled; others still want it" });
    for (const other of this.#membersOf(run)) this.#tell(other.row.id, "changed");
    this.#stopIfUnwanted(run);
  }

  async transaction(id: string): Promise<TransactionView> {
    const active = this.#active.get(id);
    if (active !== undefined) return this.#view(active);
    const found = isId(id) ? await this.#options.journal.transaction(id) : null;
    if (found === null) throw new AptOstreeError("NotFound", `cannot find transaction ${id.slice(0, 40)}`);
    return endedView(found.row, found.run, this.#snapshots.current.epoch);
  }

  async transactions(limit: number): Promise<readonly TransactionView[]> {
    const rows = await this.#options.journal.transactions(Math.min(Math.max(limit, 1), 1000));
    return rows.map(({ row, run }) => {
      const active = this.#active.get(row.id);
      return active === undefined ? endedView(row, run, this.#snapshots.current.epoch) : this.#view(active);
    });
  }

  async messages(id: string, afterSeq: number): Promise<readonly RunMessage[]> {
    const active = this.#active.get(id);
    if (active !== undefined && active.run.row.resumed === 0) return active.run.messages.filter((message) => message.seq > afterSeq);
    const view = await this.transaction(id);
    return await this.#options.journal.messages(view.runId, afterSeq);
  }

  async reload(): Promise<number> {
    return (await this.#snapshots.refresh()).epoch;
  }

  /** The run that does already what is asked, if it can still be joined. */
  #findJoinable(request: Request): Run | null {
    const digest = digestOf(request);
    return [...this.#runs.values()].find((run) => run.joinable && digestOf(run.row.request) === digest) ?? null;
  }

  /** A run of the journal, ready to begin again; null where only its transactions, or nobody any more, had to be told of its end. */
  async #resume(found: RunRow, transactions: readonly TransactionRow[]): Promise<Run | null> {
    const { journal, log } = this.#options;
    if (isFinal(found.state)) {
      const run = new Run(found, found.facts.transactionId ?? "", this.#runDeps());
      for (const row of transactions) await this.#end(this.#adopt(row, run), found.state, endErrorOf(found));
      return null;
    }
    const row = await this.#cleanFirst({ ...found, resumed: found.resumed + 1 });
    const [first] = transactions;
    if (first === undefined) {
      await journal.updateRun({ ...row, state: "cancelled" });
      return null;
    }
    await journal.updateRun(row);
    const run = new Run(row, row.facts.transactionId ?? first.id, this.#runDeps());
    run.messages.push(...(await journal.messages(row.id, 0)));
    this.#runs.set(run.id, run);
    for (const transaction of transactions) this.#adopt(transaction, run);
    log.info({ run: row.id, state: row.state, resumed: row.resumed }, "run taken up again");
    return run;
  }

  /** Removes what the dead daemon left of a run. Where that cannot be, the run fails; the daemon serves all the same. */
  async #cleanFirst(row: RunRow): Promise<RunRow> {
    try {
      await this.#options.engines.clean(row.id);
      return row;
    } catch (error) {
      this.#options.log.error({ run: row.id, err: error }, "cannot clean up after a run");
      const state = row.state === "deploying" || row.state === "rollingBack" ? "rollingBack" : "cleaning";
      return { ...row, state, error: row.error ?? toErrorValue(error) };
    }
  }

  #adopt(row: TransactionRow, run: Run): Active {
    const active: Active = { row, run, created: Promise.resolve(true), announced: true, ending: false };
    this.#active.set(row.id, active);
    return active;
  }

  #runDeps(): RunDeps {
    const { engines, journal, log, now, bootId } = this.#options;
    return {
      engines,
      journal,
      log,
      now,
      bootId,
      locks: this.#locks,
      snapshots: this.#snapshots,
      onState: (run) => {
        for (const member of this.#membersOf(run)) this.#tell(member.row.id, "changed");
      },
      onProgress: (run) => {
        for (const member of this.#membersOf(run)) this.#throttle.touch(member.row.id);
      },
      onMessage: (run, message) => {
        for (const member of this.#membersOf(run)) if (member.announced) this.emit("message", this.#view(member), message);
      },
      onEnd: (run) => {
        // Without a journal nobody may be told: uncaught, this ends the daemon, and the next one takes the run up.
        void this.#ended(run).catch((error: unknown) => {
          log.error({ run: run.id, err: error }, "cannot journal the end of a run");
          if (!this.#closing) throw error;
        });
      },
    };
  }

  async #ended(run: Run): Promise<void> {
    const state = run.row.state as FinalState;
    this.#runs.delete(run.id);
    await this.#persist(() => this.#options.journal.updateRun(run.row));
    for (const member of this.#membersOf(run)) await this.#end(member, state, endErrorOf(run.row));
    this.#endedSinceTrim += 1;
    if (this.#endedSinceTrim >= TRIM_EVERY) {
      this.#endedSinceTrim = 0;
      await this.#options.journal.trim(this.#options.keepTransactions);
    }
  }

  /** Ends one transaction: durable first, then told. Whoever comes first decides how it ends. */
  async #end(active: Active, state: FinalState, error: ErrorValue | null): Promise<void> {
    if (active.ending) return;
    active.ending = true;
    if (!(await active.created)) return;
    this.#announce(active);
    const { id } = active.row;
    const result = state === "finished" ? resultOf(active.run.row) : null;
    const row: TransactionRow = { ...active.row, state, error, result, endedMs: this.#options.now() };
    await this.#persist(() => this.#options.journal.endTransactions([row]));
    this.#throttle.flush(id);
    this.#active.delete(id);
    this.#options.log.info(
      { transaction: id, run: row.runId, state, ...(error === null ? {} : { code: error.code, reason: error.message }) },
      "transaction ended",
    );
    this.emit("finished", endedView(row, active.run.row, this.#snapshots.current.epoch));
  }

  /** An end must be written, so that a full disk is waited for: it is the one write that nobody could be told the failure of. */
  async #persist(write: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        if (this.#closing || toErrorValue(error).code !== "NoSpace") throw error;
        this.#options.log.error({ err: error }, "the journal has no space: trying again");
        await delay(RETRY_MS);
      }
    }
  }

  /** Who still wants the run. */
  #membersOf(run: Run): Active[] {
    return [...this.#active.values()].filter((active) => active.run === run && !active.ending);
  }

  /** The last one interested may leave while another, who was to stay, is refused or leaves too. */
  #stopIfUnwanted(run: Run): void {
    if (this.#membersOf(run).length > 0 || !this.#runs.has(run.id) || !run.joinable) return;
    run.cancel().catch((error: unknown) => this.#options.log.error({ run: run.id, err: error }, "cannot cancel a run that nobody wants"));
  }

  #announce(active: Active): void {
    if (active.announced) return;
    active.announced = true;
    this.emit("added", this.#view(active));
  }

  #tell(id: string, event: "changed" | "progress"): void {
    const active = this.#active.get(id);
    if (active?.announced === true) this.emit(event, this.#view(active));
  }

  /** Who waits behind whom has changed: everybody who waits is told. */
  #tellWaiting(): void {
    for (const ticket of this.#locks.manager.queue()) {
      const run = this.#runs.get(ticket.owner);
      if (run !== undefined) for (const member of this.#membersOf(run)) this.#tell(member.row.id, "changed");
    }
  }

  #view(active: Active): TransactionView {
    const { run, row } = active;
    const others = this.#membersOf(run)
      .filter((member) => member.announced && member !== active)
      .map((member) => member.row.id);
    return activeView(
      row,
      run,
      others,
      waitingOf(this.#locks.manager, run.id, (owner) => this.#nameOf(owner)),
      this.#snapshots.current.epoch,
    );
  }

  #nameOf(runId: string): string {
    const run = this.#runs.get(runId);
    return run === undefined ? runId : `${titleOf(run.row.request)} (${run.transactionId})`;
  }
}
