/** The scheduler with its journal on disk and engines that do nothing, as `npm run bench -- scheduler` measures it. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeRequest } from "../../src/model/request.ts";
import { type Caller, DEFAULT_SCHEDULING, type Request, STAGES, type Stage, type TransactionView } from "../../src/model/transaction.ts";
import type { Engines, StageEngine, StageOutput } from "../../src/scheduler/ports.ts";
import { Scheduler } from "../../src/scheduler/scheduler.ts";
import { openJournal, type SqliteJournal } from "../../src/store/journal.ts";

/** The kernel's boot id, as far as a journal cares. */
export const BENCH_BOOT_ID = "bench";

/** More than any measurement makes, so that nothing is trimmed or refused. */
const NO_LIMIT = 1_000_000;
const SETTLED: StageOutput = {
  facts: { outcome: { changed: false, commit: "", staged: false, diff: [], summary: "nothing to do" } },
  cached: true,
  verdict: "settled",
};

/** Engines that find nothing to do; while they are held, a stage waits until it is aborted or they are let go. */
export class IdleEngines implements Engines {
  readonly stages: Readonly<Record<Stage, StageEngine>>;
  #held: Promise<void> = Promise.resolve();
  #letGo: () => void = () => undefined;

  constructor() {
    const idle: StageEngine = async (_input, { signal }) => {
      const aborted = new Promise<never>((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true });
      });
      await Promise.race([this.#held, aborted]);
      return SETTLED;
    };
    this.stages = Object.fromEntries(STAGES.map((stage) => [stage, idle])) as Record<Stage, StageEngine>;
  }

  async keepLocals(): Promise<readonly string[]> {
    return [];
  }

  /** Makes every stage wait from now on, until `letGo`. */
  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#letGo = resolve;
    });
  }

  letGo(): void {
    this.#letGo();
  }

  async clean(): Promise<void> {}

  async rollBack(): Promise<void> {}

  async awaitSysroot(): Promise<void> {}

  async whyNotNow(): Promise<null> {
    return null;
  }

  async readSysroot(): ReturnType<Engines["readSysroot"]> {
    return { readMs: Date.now(), sysroot: "/sysroot", booted: true, deployments: [] };
  }

  watchSysroot(): () => void {
    return () => undefined;
  }
}

/** A scheduler that serves. */
export class SchedulerBench {
  readonly engines: IdleEngines;
  readonly journal: SqliteJournal;
  readonly scheduler: Scheduler;
  readonly #watchers = new Map<string, (view: TransactionView) => void>();
  readonly #ended = new Map<string, TransactionView>();

  private constructor(engines: IdleEngines, journal: SqliteJournal) {
    const fatal = (error: unknown): void => {
      throw error;
    };
    const log = { info: () => undefined, error: (facts: object, text: string) => fatal(new Error(`${text}: ${JSON.stringify(facts)}`)) };
    this.engines = engines;
    this.journal = journal;
    this.scheduler = new Scheduler({ engines, journal, log, bootId: BENCH_BOOT_ID, keepTransactions: NO_LIMIT, maxActiveOfUser: NO_LIMIT, fatal });
    this.scheduler.setMaxListeners(0);
    this.scheduler.on("finished", (view) => {
      const watcher = this.#watchers.get(view.id);
      this.#watchers.delete(view.id);
      if (watcher === undefined) this.#ended.set(view.id, view);
      else watcher(view);
    });
  }

  /** Opens the journal in the directory, and starts. */
  static async start(directory: string): Promise<SchedulerBench> {
    const bench = new SchedulerBench(new IdleEngines(), await openJournal(join(directory, "journal.db")));
    await bench.scheduler.start();
    return bench;
  }

  /** The view of a transaction when it has ended; to be asked for once. */
  async ended(id: string): Promise<TransactionView> {
    const view = this.#ended.get(id);
    if (view !== undefined) {
      this.#ended.delete(id);
      return view;
    }
    return await new Promise((resolve) => this.#watchers.set(id, resolve));
  }

  /** Submits on behalf of a timer. */
  submit(request: Request, uid: number): Promise<string> {
    return this.scheduler.submit(request, callerOf(uid), { ...DEFAULT_SCHEDULING, requestClass: "timer" });
  }

  async close(): Promise<void> {
    this.scheduler.close();
    await this.journal.close();
  }
}

/** A caller of that uid. */
export function callerOf(uid: number): Caller {
  return { sender: `:1.${uid}`, uid, pid: 4711, agent: "bench" };
}

/** A prefetch that has nothing in common with any other of another number. */
export function prefetchOf(n: number): Request {
  return makeRequest("prefetch", { packages: [`package-${n}`] });
}

/** Works in a new directory on the disk of the checkout, which is removed afterwards. */
export async function inDirectory<T>(parent: string, work: (directory: string) => Promise<T>): Promise<T> {
  await mkdir(parent, { recursive: true });
  const directory = await mkdtemp(join(parent, "bench-scheduler-"));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
