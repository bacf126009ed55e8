/** A simulated host: one daemon after another over one disk, clients that remember what they were told, and what must hold of it all. */
import { createHash } from "node:crypto";
import { AptOstreeError } from "../../src/model/errors.ts";
import { makeRequest } from "../../src/model/request.ts";
import {
  type Caller,
  DEFAULT_SCHEDULING,
  isFinal,
  type Request,
  type Scheduling,
  STAGES_OF,
  type TransactionView,
} from "../../src/model/transaction.ts";
import { Scheduler } from "../../src/scheduler/scheduler.ts";
import { VirtualClock } from "./clock.ts";
import { SimulatedEngines, Sysroot } from "./engines.ts";
import { Disk, SimulatedJournal } from "./journal.ts";
import { Random } from "./random.ts";

const QUIET = { info: () => undefined, error: () => undefined };
/** However it is cancelled, delayed and killed: a transaction has ended by then, once nobody kills any more. */
const ENDS_WITHIN_MS = 26 * 3_600_000;

/** So many daemons in a row may still be struck. */
const SETTLING_LIVES = 4;

interface Daemon {
  readonly scheduler: Scheduler;
  readonly journal: SimulatedJournal;
  readonly engines: SimulatedEngines;
  dead: boolean;
}

/** A host with a seed. Everything that happens is hashed, so that two hosts of one seed can be compared. */
export class Host {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly disk = new Disk();
  readonly sysroot = new Sysroot();
  readonly violations: string[] = [];
  /** Transactions that a client was given the id of. */
  readonly acknowledged = new Set<string>();
  lives = 0;
  #daemon: Daemon | null = null;
  readonly #ended = new Map<string, TransactionView["state"]>();
  readonly #percents = new Map<string, number>();
  readonly #hash = createHash("sha256");
  #events = 0;
  #epoch = 0;
  #boots = 1;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  /** Of all that was told until now, with its times. */
  get eventHash(): string {
    return this.#hash.copy().digest("hex");
  }

  get events(): number {
    return this.#events;
  }

  get scheduler(): Scheduler | null {
    return this.#daemon?.dead === false ? this.#daemon.scheduler : null;
  }

  get engines(): SimulatedEngines | null {
    return this.#daemon?.engines ?? null;
  }

  /** Starts a daemon. Resolves when it serves, or has died before it could. */
  async start(): Promise<void> {
    this.lives += 1;
    const journal = new SimulatedJournal(this.disk, this.clock, this.random);
    const life = { dead: false };
    const engines = new SimulatedEngines(this.sysroot, this.clock, this.random, () => life.dead);
    const scheduler = new Scheduler({
      engines,
      journal,
      log: QUIET,
      fatal: () => this.kill(),
      bootId: `boot ${this.#boots}`,
      keepTransactions: 100,
      // A dead daemon's timers go off and find nobody.
      clock: { ...clockOf(this.clock), after: (delayMs, callback) => this.clock.after(delayMs, () => life.dead || callback()) },
      makeId: () => this.random.id(),
    });
    const daemon: Daemon = Object.assign(life, { scheduler, journal, engines });
    this.#daemon = daemon;
    this.#listen(daemon);
    let over = false;
    scheduler.start().then(
      () => (over = true),
      () => {
        over = true;
        this.kill();
      },
    );
    await this.clock.run(() => over || daemon.dead, ENDS_WITHIN_MS);
    if (!over && !daemon.dead) this.violations.push("a daemon does not come to serve");
  }

  /** kill -9: from now on nothing of it is written, done or told. */
  kill(): void {
    const daemon = this.#daemon;
    if (daemon === null || daemon.dead) return;
    this.#look(daemon);
    daemon.dead = true;
    daemon.journal.die();
    daemon.scheduler.removeAllListeners();
    // What a stage had done since its last row is lost with the daemon.
    this.#percents.clear();
    this.#note("killed");
  }

  /** The host is shut down, or its power fails: what was staged is finalised, or lost. */
  async reboot(powerFailed: boolean): Promise<void> {
    if (powerFailed) this.kill();
    else await this.terminate();
    this.#boots += 1;
    this.sysroot.reboot(powerFailed);
  }

  /** SIGTERM: it takes no more, and ends a moment later. */
  async terminate(): Promise<void> {
    this.#daemon?.scheduler.close();
    await this.clock.run(() => false, this.random.between(0, 2000));
    this.kill();
  }

  /** A client asks for something; whether it was given an id. Never rejects. */
  submit(request: Request, caller: Caller, scheduling: Partial<Scheduling> = {}): void {
    const daemon = this.#daemon;
    if (daemon === null || daemon.dead) return;
    daemon.scheduler.submit(request, caller, { ...DEFAULT_SCHEDULING, ...scheduling }).then(
      (id) => {
        if (daemon.dead) return;
        this.acknowledged.add(id);
        this.#note(`acknowledged ${id}`);
      },
      (error: unknown) => this.#refused(error),
    );
  }

  cancel(id: string, caller: Caller): void {
    this.scheduler?.cancel(id, caller).catch((error: unknown) => this.#refused(error));
  }

  /** Lets everything end, with daemons that nobody kills, and checks what must hold then. */
  async settle(): Promise<void> {
    this.disk.beforeCommit = () => true;
    for (let tries = 0; tries < SETTLING_LIVES; tries += 1) {
      if (this.scheduler === null) await this.start();
      await this.clock.run(() => this.scheduler?.idle !== false, ENDS_WITHIN_MS);
      // A strike that was on its way may still come.
      await this.clock.run(() => false, 60_000);
      if (this.scheduler !== null) break;
    }
    const { scheduler } = this;
    if (scheduler === null) {
      this.violations.push("daemons end by themselves");
      return;
    }
    if (!scheduler.idle)
      this.violations.push(
        `transactions do not end: ${JSON.stringify(scheduler.status().transactions.map((t) => [t.title, t.state, t.waitingFor]))}`,
      );
    if (this.#daemon !== null) this.#look(this.#daemon);
    for (const id of this.acknowledged) {
      const row = this.disk.transactions.get(id);
      if (row === undefined && this.disk.transactions.size < 100) this.violations.push(`${id} was acknowledged and is not known`);
      else if (row?.state === "active") this.violations.push(`${id} has not ended`);
    }
    for (const run of this.disk.runs.values()) if (!isFinal(run.state)) this.violations.push(`run ${run.id} is left ${run.state}`);
    if (this.sysroot.workTrees.size > 0) this.violations.push(`work trees are left: ${[...this.sysroot.workTrees].join()}`);
    const report = scheduler.lockReport();
    if (report.holders.length + report.waiting.length > 0) this.violations.push(`locks are left: ${JSON.stringify(report.holders)}`);
  }

  #listen(daemon: Daemon): void {
    const { scheduler } = daemon;
    for (const event of ["added", "changed", "progress", "finished"] as const) {
      scheduler.on(event, (view) => {
        this.#note(`${event} ${view.id} ${view.state} ${view.progress.percent}`);
        const before = this.#percents.get(view.id) ?? 0;
        if (event === "progress" && view.progress.percent < before)
          this.violations.push(`${view.id} fell from ${before} to ${view.progress.percent} %`);
        this.#percents.set(view.id, event === "finished" ? 0 : Math.max(before, view.progress.percent));
        if (this.#ended.has(view.id)) this.violations.push(`${view.id} is told of after it ended ${this.#ended.get(view.id)}: ${event}`);
        if (event !== "finished") return;
        this.#ended.set(view.id, view.state);
        this.#lookFor(view);
        if (this.disk.transactions.get(view.id)?.state !== view.state)
          this.violations.push(`${view.id} was told of as ${view.state} before that was durable`);
      });
    }
    scheduler.on("snapshot", (snapshot) => {
      this.#note(`snapshot ${snapshot.epoch}`);
      if (snapshot.epoch < this.#epoch) this.violations.push(`the epoch fell from ${this.#epoch} to ${snapshot.epoch}`);
      this.#epoch = snapshot.epoch;
    });
  }

  /** Whoever is told that a deployment was made finds it. */
  #lookFor({ id, kind, runId, state, result }: TransactionView): void {
    if (state !== "finished" || result?.changed !== true || kind === "rollback" || !STAGES_OF[kind].includes("deploying")) return;
    const transaction = this.disk.runs.get(runId)?.facts.transactionId;
    if (!this.sysroot.deployments.some(({ origin }) => origin.transaction === transaction))
      this.violations.push(`${id} was told that its deployment was made, and it is not there`);
  }

  /** What a life leaves to look at: its locks' history, and what its engines saw. */
  #look({ scheduler, engines }: Daemon): void {
    const report = scheduler.lockReport();
    for (const violation of report.violations) this.violations.push(JSON.stringify(violation));
    if (report.cycle !== null) this.violations.push(`a cycle of waiting: ${report.cycle.join(" -> ")}`);
    this.violations.push(...engines.violations.splice(0));
  }

  #refused(error: unknown): void {
    const code = error instanceof AptOstreeError ? error.code : String(error);
    this.#note(`refused ${code}`);
    if (!["Busy", "TooLate", "NoSpace", "NotFound", "Conflict", "Internal"].includes(code)) this.violations.push(`a call was refused with ${code}`);
  }

  #note(what: string): void {
    this.#events += 1;
    this.#hash.update(`${this.clock.monotonicMs().toFixed(3)} ${what}\n`);
  }
}

function clockOf(clock: VirtualClock) {
  return { now: () => clock.now(), monotonicMs: () => clock.monotonicMs() };
}

/** A request that people or programs may make, by chance. */
export function someRequest(random: Random, known: readonly string[]): Request {
  const kind = random.pick([
    "install",
    "install",
    "install",
    "uninstall",
    "upgrade",
    "upgrade",
    "rollback",
    "refresh",
    "prefetch",
    "prefetch",
    "cleanup",
    "undo",
  ] as const);
  const names = ["vim", "nano", "mc", "zsh", "git"];
  switch (kind) {
    case "install":
    case "uninstall":
      return makeRequest(kind, { packages: random.chance(0.3) ? [random.pick(names), random.pick(names)] : [random.pick(names)] });
    case "prefetch":
      return makeRequest(kind, { packages: random.chance(0.5) ? [] : [random.pick(names)] });
    case "cleanup":
      return makeRequest(kind, { targets: [random.pick(["base", "pending", "rollback", "repomd"])] });
    case "undo":
      return makeRequest(kind, { undoes: known.length === 0 ? "0".repeat(12) : random.pick(known) });
    default:
      return makeRequest(kind);
  }
}
