/** The scheduler with the real journal, as in a daemon that a test can kill: what the journal was not given by then never was. */

import { join } from "node:path";
import { makeRequest } from "../../src/model/request.ts";
import { type Caller, DEFAULT_SCHEDULING, type Kind, type Request, type Scheduling, type TransactionView } from "../../src/model/transaction.ts";
import type { SchedulerEvents } from "../../src/scheduler/api.ts";
import type { Journal } from "../../src/scheduler/ports.ts";
import { Scheduler } from "../../src/scheduler/scheduler.ts";
import { openJournal, type SqliteJournal } from "../../src/store/journal.ts";
import { ControlledEngines, World } from "./controlled-engines.ts";
import { valuesFor } from "./requests.ts";

/** Who asks, unless a test says otherwise. */
export const ROOT: Caller = { sender: ":1.7", uid: 0, pid: 4711, agent: "test" };

/** One event, as a listener would have seen it. */
export interface Seen {
  readonly event: keyof SchedulerEvents;
  readonly view: TransactionView | null;
  readonly atMs: number;
}

/** What replaces single calls of the journal, for faults; `real` is the journal itself. */
export type Faults = (real: Journal) => Partial<Journal>;

/** One daemon's life. */
export class Daemon {
  readonly scheduler: Scheduler;
  readonly journal: SqliteJournal;
  readonly engines: ControlledEngines;
  readonly seen: Seen[] = [];
  readonly errors: string[] = [];
  readonly #state: { dead: boolean };

  private constructor(scheduler: Scheduler, journal: SqliteJournal, engines: ControlledEngines, errors: string[], state: { dead: boolean }) {
    this.scheduler = scheduler;
    this.journal = journal;
    this.engines = engines;
    this.errors = errors;
    this.#state = state;
    for (const event of ["added", "changed", "progress", "finished"] as const)
      scheduler.on(event, (view) => this.seen.push({ event, view, atMs: performance.now() }));
    scheduler.on("message", (view) => this.seen.push({ event: "message", view, atMs: performance.now() }));
    scheduler.on("snapshot", () => this.seen.push({ event: "snapshot", view: null, atMs: performance.now() }));
  }

  /** Starts a daemon over the journal in a directory. `prepare` is called before it takes up what it finds. */
  static async start(
    directory: string,
    values: { world?: World; faults?: Faults; prepare?: (engines: ControlledEngines) => void; bootId?: string } = {},
  ): Promise<Daemon> {
    const real = await openJournal(join(directory, "journal.db"));
    const engines = new ControlledEngines(values.world ?? new World());
    values.prepare?.(engines);
    const state = { dead: false };
    const errors: string[] = [];
    const faults = values.faults?.(real) ?? {};
    const journal = new Proxy(real, {
      get: (target, name) => {
        const value = (faults as Record<string | symbol, unknown>)[name] ?? Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => (state.dead ? new Promise(() => undefined) : value.apply(target, args));
      },
    });
    const log = { info: () => undefined, error: (facts: object, text: string) => void errors.push(`${text}: ${JSON.stringify(facts)}`) };
    const fatal = (error: unknown): void => void errors.push(`the daemon ends: ${String(error)}`);
    const scheduler = new Scheduler({ engines, journal, log, bootId: values.bootId ?? "boot", keepTransactions: 1000, fatal });
    const daemon = new Daemon(scheduler, real, engines, errors, state);
    await scheduler.start();
    return daemon;
  }

  /** What `kill -9` does: nothing more is written, nothing is told; stages that are held up stay so for ever. */
  async kill(): Promise<void> {
    this.#state.dead = true;
    this.scheduler.removeAllListeners();
    await this.journal.close();
  }

  submit(kind: Kind, packages: readonly string[] = [], caller = ROOT, scheduling: Partial<Scheduling> = {}): Promise<string> {
    return this.scheduler.submit(requestOf(kind, packages), caller, { ...DEFAULT_SCHEDULING, ...scheduling });
  }

  undo(id: string, caller = ROOT): Promise<string> {
    return this.scheduler.submit(makeRequest("undo", { undoes: id }), caller);
  }

  /** The view of a transaction once it has ended. */
  async ended(id: string): Promise<TransactionView> {
    return await this.until(id, (view) => view.endedMs > 0);
  }

  /** The view of a transaction as soon as it is as wanted; a minute is an eternity. */
  async until(id: string, wanted: (view: TransactionView) => boolean): Promise<TransactionView> {
    const deadlineMs = performance.now() + 60_000;
    for (;;) {
      const view = await this.scheduler.transaction(id);
      if (wanted(view)) return view;
      if (performance.now() > deadlineMs) throw new Error(`${id} is still ${JSON.stringify(view)}\n${this.errors.join("\n")}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** The events that were told of a transaction. */
  eventsOf(id: string): Seen[] {
    return this.seen.filter(({ view }) => view?.id === id);
  }

  /** A pruner needs every lock: that it comes through shows that nobody kept one. */
  async expectLocksFree(): Promise<void> {
    const id = await this.submit("cleanup");
    const view = await this.ended(id);
    if (view.state !== "finished") throw new Error(`the pruner ended ${view.state}: ${JSON.stringify(view.error)}`);
  }
}

/** A valid request of a kind; what an undo undoes has no meaning. */
export function requestOf(kind: Kind, packages: readonly string[] = []): Request {
  return makeRequest(kind, { ...valuesFor(kind), ...(packages.length === 0 ? {} : { packages }) });
}
