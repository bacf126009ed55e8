import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AptOstreeError } from "../../src/model/errors.ts";
import { type Kind, STAGES_OF, type Stage } from "../../src/model/transaction.ts";
import type { Journal, RunRow } from "../../src/scheduler/ports.ts";
import { type ControlledEngines, World } from "../harness/controlled-engines.ts";
import { Daemon, type Faults, ROOT } from "../harness/daemon.ts";

const BEFORE_DEPLOYING = STAGES_OF.install.filter((stage) => stage !== "deploying");

let directory: string;
let world: World;
let running: Daemon | null;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "recovery-"));
  world = new World();
  running = null;
});

afterEach(async () => {
  await running?.kill();
  expect(world.violations).toEqual([]);
  rmSync(directory, { recursive: true });
});

/** Kills the daemon that runs, if any, and starts the next one over the same journal and the same world. */
async function start(values: { faults?: Faults; prepare?: (engines: ControlledEngines) => void; bootId?: string } = {}): Promise<Daemon> {
  await running?.kill();
  running = await Daemon.start(directory, { world, ...values });
  return running;
}

/** A daemon that dies while a transaction is in a stage, whose effect is done or not. */
async function dieIn(stage: Stage, values: { kind?: Kind; afterEffect?: boolean } = {}): Promise<{ id: string; runId: string }> {
  const daemon = await start();
  const gate = daemon.engines.hold(stage, { afterEffect: values.afterEffect ?? false });
  const kind = values.kind ?? "install";
  const id = await daemon.submit(kind, kind === "install" ? ["vim"] : []);
  const { input } = await gate.entered;
  return { id, runId: input.runId };
}

describe("a daemon that finds a run of a dead one", () => {
  for (const afterEffect of [false, true]) {
    for (const stage of STAGES_OF.install) {
      it(`finishes it where it was ${stage}, with the effect ${afterEffect ? "done" : "not done"}, after cleaning up`, async () => {
        const { id, runId } = await dieIn(stage, { afterEffect });
        world.log.length = 0;
        const daemon = await start();
        expect(world.log[0]).toBe(`clean ${runId}`);
        expect(await daemon.ended(id)).toMatchObject({ id, runId, state: "finished", resumed: 1, result: { changed: true } });
        expect(world.deployments.filter((d) => d.origin.transaction === id)).toHaveLength(1);
        expect(world.count("rollBack")).toBe(0);
        expect(await daemon.journal.unfinished()).toEqual([]);
        await daemon.expectLocksFree();
      });
    }
  }

  it("goes on at the stage where it was, and only plans again as the epoch is a new one", async () => {
    const { id, runId } = await dieIn("downloading");
    world.log.length = 0;
    const daemon = await start();
    await daemon.ended(id);
    expect(world.count(`refreshing ${runId}`)).toBe(0);
    expect(world.count(`downloading ${runId}`)).toBeGreaterThan(0);
  });

  it("does not repeat a deployment whose end is in the journal already", async () => {
    let ends = 0;
    const daemon = await start({
      faults: () => ({
        // The row of the run's end never becomes durable, nor anything after it.
        endRun: async () => {
          ends += 1;
          await new Promise(() => undefined);
        },
      }),
    });
    const id = await daemon.submit("rollback");
    await expect.poll(() => ends).toBe(1);
    expect(world.count("effect")).toBe(1);
    const next = await start();
    expect(await next.ended(id)).toMatchObject({ state: "finished", resumed: 1, result: { changed: true, summary: "did deploying" } });
    expect(world.count("deploying")).toBe(1);
    expect(world.count("effect")).toBe(1);
  });

  for (const isLost of [true, false]) {
    it(`looks after a reboot for what was staged before, which was ${isLost ? "lost with the power" : "finalised"}`, async () => {
      let ends = 0;
      const hang = async (): Promise<never> => {
        ends += 1;
        return await new Promise(() => undefined);
      };
      const daemon = await start({ faults: () => ({ endRun: hang }) });
      const id = await daemon.submit("install", ["vim"]);
      await expect.poll(() => ends).toBe(1);
      await daemon.kill();
      if (isLost) world.deployments = world.deployments.slice(1);
      const next = await start({ bootId: "another" });
      expect(await next.ended(id)).toMatchObject({ state: "finished", resumed: 1, result: { changed: true } });
      expect(world.deployments.map((d) => d.origin.transaction)).toEqual([id, ""]);
      expect(world.count("effect")).toBe(isLost ? 2 : 1);
      expect(world.count("assembling")).toBe(isLost ? 2 : 1);
    });
  }

  it("carries nothing out by guess that a newer daemon was asked for", async () => {
    for (const foreign of [{ kind: "install", packages: ["vim"], targets: [], idempotent: false, pretend: true }, { kind: "transmogrify" }]) {
      const { id } = await dieIn("planning");
      await running?.kill();
      const database = new Sqlite(join(directory, "journal.db"));
      for (const table of ["run", "tx"]) database.prepare(`update ${table} set request = ? where request like '%vim%'`).run(JSON.stringify(foreign));
      database.close();
      world.log.length = 0;
      const next = await start();
      expect((await next.journal.transaction(id))?.row).toMatchObject({ state: "failed", error: { code: "JournalTooNew" } });
      expect(world.log.filter((line) => !line.startsWith("clean"))).toEqual([]);
      expect((await next.ended(await next.submit("install", ["vim"]))).state).toBe("finished");
    }
  });

  it("ends the transactions of a run that had ended before they could", async () => {
    for (const outcome of ["finished", "failed", "cancelled"] as const) {
      // As an older daemon left it, which wrote the two ends one after the other.
      const endRun = (real: Journal) => (run: RunRow) => real.updateRun(run).then(() => new Promise<never>(() => undefined));
      const daemon = await start({ faults: (real) => ({ endRun: endRun(real) }) });
      const gate = daemon.engines.hold("refreshing");
      const ids = await Promise.all([daemon.submit("refresh"), daemon.submit("refresh")]);
      await gate.entered;
      if (outcome === "cancelled") {
        void daemon.scheduler.cancel(ids[0] ?? "", ROOT);
        await daemon.scheduler.cancel(ids[1] ?? "", ROOT);
      } else if (outcome === "failed") gate.fail(new AptOstreeError("DownloadFailed", "cannot fetch Packages: no route"));
      else gate.release();
      await expect.poll(async () => (await daemon.journal.transaction(ids[0] ?? ""))?.run.state).toBe(outcome);
      world.log.length = 0;
      const next = await start();
      for (const id of ids) {
        const view = await next.ended(id);
        expect(view.state).toBe(outcome);
        expect(view.error?.code).toBe({ finished: undefined, failed: "DownloadFailed", cancelled: "Cancelled" }[outcome]);
        expect(view.result === null).toBe(outcome !== "finished");
      }
      expect(next.scheduler.idle).toBe(true);
      expect(world.log).toEqual([]);
    }
  });

  for (const stage of BEFORE_DEPLOYING) {
    it(`cancels it where somebody had asked for that while ${stage}`, async () => {
      const daemon = await start();
      const gate = daemon.engines.hold(stage);
      daemon.engines.cleaning = () => new Promise(() => undefined);
      const id = await daemon.submit("install", ["vim"]);
      await gate.entered;
      await daemon.scheduler.cancel(id, ROOT);
      const next = await start();
      expect(await next.ended(id)).toMatchObject({ state: "cancelled", error: { code: "Cancelled" } });
      expect(world.count("effect")).toBe(0);
      await next.expectLocksFree();
    });
  }

  it("cancels a deployment that had been cancelled while it waited for its lock", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("assembling");
    const install = await daemon.submit("install", ["vim"]);
    await gate.entered;
    daemon.engines.cleaning = () => new Promise(() => undefined);
    const rollback = await daemon.submit("rollback");
    await daemon.until(rollback, (view) => view.position === 1);
    await daemon.scheduler.cancel(rollback, ROOT);
    const next = await start();
    expect((await next.ended(rollback)).state).toBe("cancelled");
    expect((await next.ended(install)).state).toBe("finished");
    expect(world.count("effect")).toBe(1);
  });

  it("does not try again what had failed, and undoes a deployment that had", async () => {
    for (const stage of ["assembling", "deploying"] as const) {
      world.log.length = 0;
      const daemon = await start();
      daemon.engines.cleaning = () => new Promise(() => undefined);
      daemon.engines.rollBack = () => new Promise(() => undefined);
      const gate = daemon.engines.hold(stage, { afterEffect: true });
      const id = await daemon.submit("install", ["vim"]);
      const { input } = await gate.entered;
      gate.fail(new AptOstreeError("ScriptFailed", "cannot configure vim: exit status 1"));
      await expect.poll(async () => (await daemon.journal.steps(input.runId)).at(-1)?.phase).toBe("failed");
      const next = await start();
      expect(await next.ended(id)).toMatchObject({ state: "failed", error: { code: "ScriptFailed" } });
      expect(world.count(`${stage} ${input.runId}`)).toBe(1);
      expect(world.count("rollBack")).toBe(stage === "deploying" ? 1 : 0);
      expect(world.deployments).toHaveLength(1);
    }
  });

  it("begins with the deployment that was being written, whoever is older", async () => {
    const daemon = await start();
    const refreshing = daemon.engines.hold("refreshing", { package: "nano" });
    const older = await daemon.submit("install", ["nano"]);
    await refreshing.entered;
    const deploying = daemon.engines.hold("deploying", { package: "vim", afterEffect: true });
    const id = await daemon.submit("install", ["vim"]);
    await deploying.entered;
    world.log.length = 0;
    const next = await start();
    expect((await next.ended(older)).state).toBe("finished");
    expect((await next.ended(id)).state).toBe("finished");
    const writers = world.log.filter((line) => /^(assembling|deploying)/.test(line)).map((line) => line.split(" ")[0]);
    expect(writers).toEqual(["deploying", "assembling", "deploying"]);
    expect(world.deployments.map((d) => d.origin.transaction)).toEqual([older, id, ""]);
  });

  it("knows by whom a deployment was made even when that one has left since", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("assembling");
    const first = await daemon.submit("install", ["vim"]);
    const second = await daemon.submit("install", ["vim"]);
    await gate.entered;
    const deploying = daemon.engines.hold("deploying", { afterEffect: true });
    await daemon.scheduler.cancel(first, ROOT);
    gate.release();
    await deploying.entered;
    const next = await start();
    expect((await next.ended(second)).state).toBe("finished");
    expect((await next.scheduler.transaction(first)).state).toBe("cancelled");
    expect(world.count("effect")).toBe(1);
  });

  it("gives it up when daemons keep dying in it, and undoes what was deployed", async () => {
    const { id } = await dieIn("deploying", { afterEffect: true });
    for (let deaths = 1; deaths <= 3; deaths += 1) {
      let entered = (): Promise<unknown> => Promise.reject(new Error("never held"));
      const daemon = await start({
        prepare: (engines) => {
          const gate = engines.hold("deploying");
          entered = () => gate.entered;
        },
      });
      await entered();
      expect((await daemon.scheduler.transaction(id)).resumed).toBe(deaths);
    }
    const last = await start();
    const view = await last.ended(id);
    expect(view).toMatchObject({ state: "failed", resumed: 4, error: { code: "Internal" } });
    expect(view.error?.message).toContain("4 times in the stage deploying");
    expect(world.count(`rollBack ${id}`)).toBe(1);
    expect(world.deployments).toHaveLength(1);
    await last.expectLocksFree();
  });

  it("serves all the same where it cannot clean up after it: that run fails", async () => {
    const { id } = await dieIn("assembling");
    const daemon = await start({
      prepare: (engines) => {
        engines.cleaning = async () => {
          throw new AptOstreeError("NoSpace", "cannot remove the work tree: the disk is full");
        };
      },
    });
    expect(await daemon.ended(id)).toMatchObject({ state: "failed", error: { code: "NoSpace" } });
    expect((await daemon.ended(await daemon.submit("refresh"))).state).toBe("finished");
  });

  it("still has its messages, and gives the next ones their numbers", async () => {
    const daemon = await start();
    daemon.engines.behave = async (stage, _input, io) => {
      io.message("info", `${stage} began`);
      return undefined;
    };
    const gate = daemon.engines.hold("assembling");
    const id = await daemon.submit("install", ["vim"]);
    await gate.entered;
    const next = await start({
      prepare: (engines) => {
        engines.behave = daemon.engines.behave;
      },
    });
    await next.ended(id);
    const messages = await next.scheduler.messages(id, 0);
    expect(messages.slice(0, 4).map((m) => m.text)).toEqual(["refreshing began", "planning began", "downloading began", expect.any(String)]);
    expect(messages.map((m) => m.seq)).toEqual(messages.map((_, i) => i + 1));
  });

  it("forgets a run that nobody wants any more, after cleaning up", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("assembling");
    const id = await daemon.submit("install", ["vim"]);
    const { input } = await gate.entered;
    const found = await daemon.journal.transaction(id);
    if (found === null) throw new Error("the transaction is not in the journal");
    await daemon.journal.endTransactions([{ ...found.row, state: "cancelled", endedMs: 1 }]);
    world.log.length = 0;
    const next = await start();
    expect(world.log).toEqual([`clean ${input.runId}`]);
    expect((await next.journal.transaction(id))?.run).toMatchObject({ state: "cancelled" } satisfies Partial<RunRow>);
    expect(next.scheduler.idle).toBe(true);
  });
});
