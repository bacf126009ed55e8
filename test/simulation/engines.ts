/** A sysroot that is a list, and engines that take their time over it: children that can be killed, work trees that can be left behind. */
import { AptOstreeError } from "../../src/model/errors.ts";
import type { Plan } from "../../src/model/plan.ts";
import type { Deployment, SysrootSnapshot } from "../../src/model/sysroot.ts";
import { STAGES, type Stage } from "../../src/model/transaction.ts";
import { treeStateOf } from "../../src/model/tree.ts";
import type { Engines, StageEngine, StageInput, StageIo, StageOutput } from "../../src/scheduler/ports.ts";
import { deployment } from "../harness/memory-scheduler.ts";
import type { VirtualClock } from "./clock.ts";
import type { Random } from "./random.ts";

/** What survives a crash. */
export class Sysroot {
  deployments: readonly Deployment[] = [deployment("debian", 0, { booted: true })];
  /** By run id; removed by `clean`. */
  readonly workTrees = new Set<string>();
  #made = 0;
  /** What is finalised when the host is shut down, and lost when its power fails; empty where nothing is. */
  #stagedId = "";

  /** Writes a deployment in front, in one step, as ostree does. */
  deploy(transaction: string, requested: readonly string[]): void {
    this.#made += 1;
    const made = deployment("debian", 1, { pending: true });
    const origin = { ...made.origin, transaction, requested };
    this.#stagedId = `debian-${this.#made}.0`;
    this.deployments = [{ ...made, id: this.#stagedId, origin }, ...this.deployments.slice(0, 4)];
  }

  /** The host is booted again, after its power failed or was switched off. */
  reboot(powerFailed: boolean): void {
    if (powerFailed) this.deployments = this.deployments.filter(({ id }) => id !== this.#stagedId);
    this.#stagedId = "";
  }

  /** Makes the second one the default. */
  swap(): void {
    const [first, second, ...others] = this.deployments;
    if (first !== undefined && second !== undefined) this.deployments = [second, first, ...others];
  }
}

/** How long a stage takes, milliseconds, at least and at most. */
const TAKES: Readonly<Record<Stage, readonly [number, number]>> = {
  refreshing: [200, 4000],
  planning: [200, 1200],
  downloading: [100, 30_000],
  assembling: [1000, 60_000],
  deploying: [400, 3000],
  pruning: [500, 8000],
};
/** A child is told to stop, and after so long at most it is killed. */
const STOPS_WITHIN_MS = 6000;
/** One stage in so many fails by itself. */
const FAILS = 0.02;

/** What may be done to the children of a life. */
export interface Mischief {
  /** Makes the child that runs next fail as if it had been killed, or an engine throw what nobody foresaw. */
  next: "child" | "throw" | null;
}

/** The engines of one daemon's life; after `isDead` they do nothing more, and answer nobody. */
export class SimulatedEngines implements Engines {
  readonly stages: Readonly<Record<Stage, StageEngine>>;
  readonly violations: string[] = [];
  readonly mischief: Mischief = { next: null };
  #changed: () => void = () => {};
  readonly #sysroot: Sysroot;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #isDead: () => boolean;
  readonly #inside = new Map<string, Stage>();

  constructor(sysroot: Sysroot, clock: VirtualClock, random: Random, isDead: () => boolean) {
    this.#sysroot = sysroot;
    this.#clock = clock;
    this.#random = random;
    this.#isDead = isDead;
    this.stages = Object.fromEntries(STAGES.map((stage) => [stage, this.#stage(stage)])) as unknown as Record<Stage, StageEngine>;
  }

  async keepLocals(): Promise<readonly string[]> {
    return [];
  }

  async clean(runId: string): Promise<void> {
    if (this.#inside.has(runId)) this.violations.push(`${runId} is cleaned while it is ${this.#inside.get(runId)}`);
    await this.#takes(this.#random.between(1, 50));
    this.#sysroot.workTrees.delete(runId);
  }

  async rollBack(transactionId: string): Promise<void> {
    await this.#takes(this.#random.between(100, 1000));
    this.#sysroot.deployments = this.#sysroot.deployments.filter((d) => d.origin.transaction !== transactionId || d.booted);
  }

  async readSysroot(): Promise<Omit<SysrootSnapshot, "epoch" | "warnings">> {
    await this.#takes(this.#random.between(1, 20));
    return { readMs: this.#clock.now(), sysroot: "/", booted: true, deployments: this.#sysroot.deployments };
  }

  async awaitSysroot(io: { readonly signal: AbortSignal; waiting(reason: string | null): void }): Promise<void> {
    if (!this.#random.chance(0.05)) return;
    io.waiting("the sysroot is locked by ostree (pid 1)");
    for (let step = 0; step < 5; step += 1) {
      await this.#takes(this.#random.between(100, 2000));
      if (io.signal.aborted) throw new AptOstreeError("Cancelled", "cancelled");
    }
    io.waiting(null);
  }

  async whyNotNow(): Promise<string | null> {
    return this.#random.chance(0.1) ? "the network is metered" : null;
  }

  watchSysroot(changed: () => void): () => void {
    this.#changed = changed;
    return () => {
      this.#changed = () => {};
    };
  }

  /** Somebody else writes a deployment, with `ostree admin`. */
  interfere(): void {
    this.#sysroot.deploy("", []);
    this.#clock.after(300, () => {
      if (!this.#isDead()) this.#changed();
    });
  }

  /** Time passes, unless the daemon dies meanwhile: then nobody is there to go on. */
  async #takes(durationMs: number): Promise<void> {
    if (this.#isDead()) return await new Promise(() => undefined);
    await this.#clock.pause(durationMs);
    if (this.#isDead()) await new Promise(() => undefined);
  }

  #stage(stage: Stage): StageEngine {
    return async (input, io) => {
      this.#enter(stage, input.runId);
      try {
        await this.#work(stage, io);
        return stage === "deploying" ? await this.#deploy(input) : this.#done(stage, input);
      } finally {
        this.#inside.delete(input.runId);
      }
    };
  }

  /** The rules of the locks, seen from below: one assembler, nobody deploys beside it, and a pruner is alone. */
  #enter(stage: Stage, runId: string): void {
    const writers: readonly Stage[] = ["assembling", "deploying"];
    for (const [other, its] of this.#inside) {
      const excluded = stage === "pruning" || its === "pruning" || (writers.includes(stage) && writers.includes(its));
      if (excluded) this.violations.push(`${runId} is ${stage} beside ${other}, which is ${its}`);
    }
    this.#inside.set(runId, stage);
    if (stage === "assembling") this.#sysroot.workTrees.add(runId);
  }

  async #work(stage: Stage, io: StageIo): Promise<void> {
    const [least, most] = TAKES[stage];
    const steps = 4;
    const stepMs = this.#random.between(least, most) / steps;
    for (let step = 1; step <= steps; step += 1) {
      await this.#takes(stepMs);
      if (io.signal.aborted && stage !== "deploying") {
        await this.#takes(this.#random.between(1, STOPS_WITHIN_MS));
        throw new AptOstreeError("Cancelled", "cancelled");
      }
      io.progress(step / steps, `${stage} ${step}`);
      this.#meddle(stage);
    }
    if (this.#random.chance(FAILS)) throw new AptOstreeError("DownloadFailed", `cannot go on ${stage}: by chance`);
  }

  #meddle(stage: Stage): void {
    const { next } = this.mischief;
    if (next === null) return;
    this.mischief.next = null;
    throw next === "throw" ? new Error(`EIO while ${stage}`) : new AptOstreeError("ScriptFailed", `cannot go on ${stage}: killed by SIGKILL`);
  }

  #done(stage: Stage, input: StageInput): StageOutput {
    const outcome = { changed: true, commit: "", staged: false, diff: [], summary: `did ${stage}` };
    if (stage === "planning") return { facts: { plan: planOf(input) }, cached: false, verdict: "proceed" };
    if (stage === "assembling") return { facts: { layer: { commit: "c0ffee", packages: [], cached: false } }, cached: false, verdict: "proceed" };
    return { facts: { outcome }, cached: this.#random.chance(0.3), verdict: "proceed" };
  }

  /** Looks, then does, as the real one: a deployment that stands is not made again. */
  async #deploy(input: StageInput): Promise<StageOutput> {
    const { request, facts, transactionId, snapshot } = input;
    const changed = this.#sysroot.deployments.map((d) => d.id).join() !== (facts.deploymentsBefore ?? []).join();
    const before = this.#sysroot.deployments[0]?.origin.requested ?? [];
    const state = (requested: readonly string[]) => treeStateOf({ baseCommit: "ba5e", requested });
    const answer = (): StageOutput => {
      const change = { from: state(before), to: state(this.#sysroot.deployments[0]?.origin.requested ?? []) };
      const outcome = { changed: true, commit: "c0ffee", staged: true, diff: [], summary: "deployed", change };
      return { facts: { outcome }, cached: false, verdict: "proceed" };
    };
    if (request.kind === "rollback") {
      if (!changed) this.#sysroot.swap();
      await this.#takes(this.#random.between(1, 300));
      return answer();
    }
    if (this.#sysroot.deployments.some((d) => d.origin.transaction === transactionId)) return answer();
    if (changed || facts.plan?.epoch !== snapshot.epoch) return { facts: {}, cached: false, verdict: "replan" };
    this.#sysroot.deploy(transactionId, facts.plan.requested);
    await this.#takes(this.#random.between(1, 300));
    return answer();
  }
}

function planOf({ request, snapshot }: StageInput): Plan {
  const before = snapshot.deployments[0]?.origin.requested ?? [];
  const requested =
    request.kind === "uninstall" ? before.filter((p) => !request.packages.includes(p)) : [...new Set([...before, ...request.packages])].sort();
  return {
    epoch: snapshot.epoch,
    baseCommit: "ba5e",
    baseRefspec: "debian/trixie",
    requested,
    inactive: [],
    archives: [],
    listsGeneration: "1",
    layerKey: requested.join(),
    changed: true,
  };
}
