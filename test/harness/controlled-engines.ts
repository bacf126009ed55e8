/** Engines that do nothing to any disk and end as a test says: the scheduler's tests inject their faults through these. */
import { AptOstreeError } from "../../src/model/errors.ts";
import type { Plan } from "../../src/model/plan.ts";
import type { Deployment, SysrootSnapshot } from "../../src/model/sysroot.ts";
import { STAGES, type Stage } from "../../src/model/transaction.ts";
import { treeStateOf } from "../../src/model/tree.ts";
import type { Engines, StageEngine, StageInput, StageIo, StageOutput } from "../../src/scheduler/ports.ts";
import { deployment } from "./memory-scheduler.ts";

/** What survives a daemon: the deployments, and a record of everything that was done to them. */
export class World {
  deployments: readonly Deployment[] = [deployment("debian", 0, { booted: true })];
  /** "assembling RUN", "clean RUN", "rollBack TRANSACTION", "effect TRANSACTION" in the order of their beginnings. */
  readonly log: string[] = [];
  /** What two engines did at once though they exclude each other. */
  readonly violations: string[] = [];

  /** Adds a deployment in front, as ostree does; `transaction` is empty for another program's. */
  deploy(transaction: string): void {
    const made = deployment("debian", this.deployments.length % 10, { pending: true });
    this.log.push(`effect ${transaction}`);
    this.deployments = [{ ...made, id: `${made.id}-${this.log.length}`, origin: { ...made.origin, transaction } }, ...this.deployments];
  }

  count(entry: string): number {
    return this.log.filter((line) => line === entry || line.startsWith(`${entry} `)).length;
  }
}

/** One stage that is held up until the test lets it go. */
export class Gate {
  readonly stage: Stage;
  readonly package: string | undefined;
  readonly afterEffect: boolean;
  /** Resolves when the stage has come here, with what it was given. */
  readonly entered: Promise<{ input: StageInput; io: StageIo }>;
  enter: (at: { input: StageInput; io: StageIo }) => void = () => undefined;
  /** Lets the stage go on. */
  release: () => void = () => undefined;
  /** Makes the stage throw. */
  fail: (error: unknown) => void = () => undefined;
  readonly left: Promise<void>;
  used = false;

  constructor(stage: Stage, values: { package?: string | undefined; afterEffect: boolean }) {
    this.stage = stage;
    this.package = values.package;
    this.afterEffect = values.afterEffect;
    this.entered = new Promise((resolve) => {
      this.enter = resolve;
    });
    this.left = new Promise((resolve, reject) => {
      this.release = resolve;
      this.fail = reject;
    });
    this.left.catch(() => undefined);
  }
}

/** What a stage does instead of succeeding; undefined to succeed. */
export type Behaviour = (stage: Stage, input: StageInput, io: StageIo) => Promise<StageOutput | undefined>;

/** The engines of one daemon over a world. */
export class ControlledEngines implements Engines {
  readonly world: World;
  readonly stages: Readonly<Record<Stage, StageEngine>>;
  behave: Behaviour = async () => undefined;
  cleaning: (runId: string) => Promise<void> = async () => undefined;
  whyNotNow: Engines["whyNotNow"] = async () => null;
  awaitSysroot: Engines["awaitSysroot"] = async () => undefined;
  keepLocals: Engines["keepLocals"] = async (paths) => paths.map((path) => `${path.replace(/^.*\/|\.deb$/g, "")}:all=1@${"0".repeat(64)}`);
  changed: () => void = () => undefined;
  readonly #gates: Gate[] = [];
  readonly #inside = new Map<string, Stage>();

  constructor(world = new World()) {
    this.world = world;
    this.stages = Object.fromEntries(STAGES.map((stage) => [stage, this.#stage(stage)])) as unknown as Record<Stage, StageEngine>;
  }

  /** Holds up the next run that comes to the stage (of those that name the package, where one is given). */
  hold(stage: Stage, values: { package?: string; afterEffect?: boolean } = {}): Gate {
    const gate = new Gate(stage, { package: values.package, afterEffect: values.afterEffect ?? false });
    this.#gates.push(gate);
    return gate;
  }

  async clean(runId: string): Promise<void> {
    this.world.log.push(`clean ${runId}`);
    if (this.#inside.has(runId)) this.world.violations.push(`${runId} is cleaned while it is ${this.#inside.get(runId)}`);
    await this.cleaning(runId);
  }

  async rollBack(transactionId: string): Promise<void> {
    this.world.log.push(`rollBack ${transactionId}`);
    this.world.deployments = this.world.deployments.filter((d) => d.origin.transaction !== transactionId);
  }

  async readSysroot(): Promise<Omit<SysrootSnapshot, "epoch" | "warnings">> {
    return { readMs: Date.now(), sysroot: "/sysroot", booted: true, deployments: this.world.deployments };
  }

  watchSysroot(changed: () => void): () => void {
    this.changed = changed;
    return () => {
      this.changed = () => undefined;
    };
  }

  #stage(stage: Stage): StageEngine {
    return async (input, io) => {
      this.world.log.push(`${stage} ${input.runId}`);
      this.#check(stage);
      this.#inside.set(input.runId, stage);
      try {
        await this.#pass(stage, input, io, false);
        const told = await this.behave(stage, input, io);
        if (told !== undefined) return told;
        const output = this.#succeed(stage, input);
        await this.#pass(stage, input, io, true);
        return output;
      } finally {
        this.#inside.delete(input.runId);
      }
    };
  }

  /** The rules of `design.md`: one assembler, nobody deploys beside it, and the pruner is alone. */
  #check(stage: Stage): void {
    const writers: readonly Stage[] = ["assembling", "deploying"];
    for (const [runId, other] of this.#inside) {
      const excluded = stage === "pruning" || other === "pruning" || (writers.includes(stage) && writers.includes(other));
      if (excluded) this.world.violations.push(`${stage} beside ${other} of ${runId}`);
    }
  }

  async #pass(stage: Stage, input: StageInput, io: StageIo, afterEffect: boolean): Promise<void> {
    const gate = this.#gates.find(
      (g) => !g.used && g.stage === stage && g.afterEffect === afterEffect && (g.package === undefined || input.request.packages.includes(g.package)),
    );
    if (gate === undefined) return;
    gate.used = true;
    gate.enter({ input, io });
    const aborted = new Promise<never>((_resolve, reject) => {
      const abort = (): void => reject(new AptOstreeError("Cancelled", "cancelled"));
      if (io.signal.aborted) abort();
      else io.signal.addEventListener("abort", abort, { once: true });
    });
    await Promise.race([gate.left, aborted]);
  }

  #succeed(stage: Stage, input: StageInput): StageOutput {
    const outcome = { changed: true, commit: "c0ffee", staged: true, diff: [], summary: `did ${stage}` };
    if (stage === "planning") return { facts: { plan: planOf(input) }, cached: false, verdict: "proceed" };
    if (stage === "assembling") return { facts: { layer: { commit: "c0ffee", packages: [], cached: false } }, cached: false, verdict: "proceed" };
    if (stage !== "deploying") return { facts: { outcome }, cached: false, verdict: "proceed" };
    const standing = this.world.deployments.some((d) => d.origin.transaction === input.transactionId);
    if (standing) return { facts: { outcome }, cached: true, verdict: "proceed" };
    if (input.request.kind !== "rollback" && input.facts.plan?.epoch !== input.snapshot.epoch) return { facts: {}, cached: false, verdict: "replan" };
    this.world.deploy(input.transactionId);
    const bare = treeStateOf({ baseCommit: "ba5e" });
    const change = { from: bare, to: { ...bare, requested: input.request.packages } };
    return { facts: { outcome: { ...outcome, change } }, cached: false, verdict: "proceed" };
  }
}

function planOf({ request, snapshot }: StageInput): Plan {
  return {
    epoch: snapshot.epoch,
    baseCommit: "ba5e",
    baseRefspec: "debian/trixie",
    requested: request.packages,
    inactive: [],
    archives: [],
    listsGeneration: "1",
    layerKey: request.packages.join(),
    changed: true,
  };
}
