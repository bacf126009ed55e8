import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AptOstreeError } from "../../src/model/errors.ts";
import { STAGES_OF, type Stage } from "../../src/model/transaction.ts";
import { Daemon, type Faults, ROOT, requestOf } from "../harness/daemon.ts";

const INSTALL = STAGES_OF.install;
const FULL_DISK = new AptOstreeError("NoSpace", "cannot use the journal: the disk is full");

let directory: string;
let daemons: Daemon[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "scheduler-"));
  daemons = [];
});

afterEach(async () => {
  for (const daemon of daemons) {
    expect(daemon.engines.world.violations).toEqual([]);
    await daemon.kill();
  }
  rmSync(directory, { recursive: true });
});

async function start(faults?: Faults): Promise<Daemon> {
  const daemon = await Daemon.start(directory, faults === undefined ? {} : { faults });
  daemons.push(daemon);
  return daemon;
}

describe("an install", () => {
  it("goes through its stages, publishes a new snapshot and then finishes, with everything recorded", async () => {
    const daemon = await start();
    const { epoch } = daemon.scheduler.status().snapshot;
    const id = await daemon.submit("install", ["vim"]);
    const view = await daemon.ended(id);
    expect(view).toMatchObject({ state: "finished", kind: "install", title: "install vim", error: null, caller: ROOT });
    expect(view.result).toMatchObject({ changed: true, commit: "c0ffee", staged: true, summary: "did deploying" });
    expect(view.result?.timings.map((t) => t.stage)).toEqual(INSTALL);
    expect(daemon.scheduler.status().snapshot.epoch).toBe(epoch + 1);
    expect(daemon.scheduler.status().transactions).toEqual([]);
    expect(daemon.engines.world.count("clean")).toBe(1);
    const events = daemon.seen.map((seen) => seen.event);
    expect(events.lastIndexOf("snapshot")).toBeLessThan(events.indexOf("finished"));
    const steps = await daemon.journal.steps(view.runId);
    expect(steps.map(({ stage, phase }) => `${stage} ${phase}`)).toEqual(INSTALL.flatMap((stage) => [`${stage} intent`, `${stage} done`]));
    await daemon.expectLocksFree();
  });

  it("is told of in order: added first, progress that only rises, finished once and last", async () => {
    const daemon = await start();
    daemon.engines.behave = async (_stage, _input, io) => {
      for (let i = 0; i <= 300; i += 1) {
        io.progress(i / 300, `step ${i}`);
        if (i % 30 === 0) await new Promise((resolve) => setTimeout(resolve, 8));
      }
      io.message("info", "halfway");
      return undefined;
    };
    const id = await daemon.submit("install", ["vim"]);
    await daemon.ended(id);
    const events = daemon.eventsOf(id);
    expect(events[0]?.event).toBe("added");
    expect(events.filter((e) => e.event === "added")).toHaveLength(1);
    expect(events.filter((e) => e.event === "finished")).toHaveLength(1);
    expect(events.at(-1)?.event).toBe("finished");
    const progress = events.filter((e) => e.event === "progress");
    expect(progress.length).toBeGreaterThan(1);
    const percents = progress.map((e) => e.view?.progress.percent ?? -1);
    expect(percents).toEqual(percents.toSorted((a, b) => a - b));
    expect(percents.at(-1)).toBe(100);
    const tookMs = (progress.at(-1)?.atMs ?? 0) - (progress[0]?.atMs ?? 0);
    expect(progress.length).toBeLessThanOrEqual(tookMs / 100 + 3);
    expect((await daemon.scheduler.messages(id, 0)).map((m) => [m.seq, m.text])).toEqual(INSTALL.map((_, i) => [i + 1, "halfway"]));
    expect(await daemon.scheduler.messages(id, 3)).toHaveLength(2);
  });

  it("waits for another that assembles, and says for whom and in which place", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("assembling", { package: "vim" });
    const first = await daemon.submit("install", ["vim"]);
    await gate.entered;
    const second = await daemon.submit("install", ["nano"]);
    const third = await daemon.submit("uninstall", ["mc"]);
    const waiting = await daemon.until(second, (view) => view.position > 0);
    expect(waiting).toMatchObject({ state: "queued", position: 1, cancellable: true });
    expect(waiting.waitingFor).toBe(`sysroot is held by install vim (${first})`);
    const behind = await daemon.until(third, (view) => view.position > 1);
    expect(behind.waitingFor).toBe(`waits for install vim (${first}) and install nano (${second})`);
    gate.release();
    expect((await daemon.ended(first)).state).toBe("finished");
    // The sysroot is another one now: both plan again before they assemble.
    expect((await daemon.ended(second)).state).toBe("finished");
    const last = await daemon.ended(third);
    expect(last.state).toBe("finished");
    expect(last.result?.timings.filter((t) => t.stage === "planning").length).toBeGreaterThan(1);
    expect(daemon.engines.world.deployments).toHaveLength(4);
  });

  it("lets refresh, prefetch and the plans of others run beside its assembling", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("assembling", { package: "vim" });
    const install = await daemon.submit("install", ["vim"]);
    await gate.entered;
    const refresh = await daemon.submit("refresh");
    const prefetch = await daemon.submit("prefetch", ["nano"]);
    expect((await daemon.ended(refresh)).state).toBe("finished");
    expect((await daemon.ended(prefetch)).state).toBe("finished");
    const other = await daemon.submit("install", ["nano"]);
    const { runId } = await daemon.until(other, (view) => view.position > 0);
    expect(daemon.engines.world.count(`downloading ${runId}`)).toBe(1);
    expect((await daemon.scheduler.transaction(install)).state).toBe("assembling");
    gate.release();
    await daemon.ended(other);
  });

  it("plans again when another program changed the sysroot after its plan", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("downloading");
    const id = await daemon.submit("install", ["vim"]);
    await gate.entered;
    daemon.engines.world.deploy("");
    await daemon.scheduler.reload();
    gate.release();
    const view = await daemon.ended(id);
    expect(view.state).toBe("finished");
    expect(daemon.engines.world.count("planning")).toBe(2);
    expect(daemon.engines.world.count("assembling")).toBe(1);
  });

  it("gives up with Conflict when the sysroot changes under every one of its plans", async () => {
    const daemon = await start();
    daemon.engines.behave = async (stage) => {
      if (stage !== "downloading") return undefined;
      daemon.engines.world.deploy("");
      await daemon.scheduler.reload();
      return undefined;
    };
    const view = await daemon.ended(await daemon.submit("install", ["vim"]));
    expect(view).toMatchObject({ state: "failed", error: { code: "Conflict" } });
    expect(daemon.engines.world.count("planning")).toBe(8);
    await daemon.expectLocksFree();
  });

  it("ends early and well where its plan finds nothing to do", async () => {
    const daemon = await start();
    daemon.engines.behave = async (stage) =>
      stage !== "planning"
        ? undefined
        : { facts: { outcome: { changed: false, commit: "", staged: false, diff: [], summary: "nothing to do" } }, cached: true, verdict: "settled" };
    const view = await daemon.ended(await daemon.submit("install", ["vim"]));
    expect(view).toMatchObject({ state: "finished", result: { changed: false, summary: "nothing to do" } });
    expect(daemon.engines.world.count("downloading")).toBe(0);
  });
});

describe("status", () => {
  it("is answered from memory while everything else hangs", async () => {
    const daemon = await start((real) => ({ transaction: () => new Promise(() => undefined), messages: real.messages.bind(real) }));
    const gate = daemon.engines.hold("refreshing");
    const id = await daemon.submit("install", ["vim"]);
    await gate.entered;
    const view = daemon.scheduler.status();
    expect(view.transactions.map((t) => [t.id, t.state])).toEqual([[id, "refreshing"]]);
    expect(view.snapshot.deployments).toHaveLength(1);
    expect(Object.isFrozen(view.snapshot)).toBe(true);
  });

  it("shows what another program deployed, under a new epoch, and an unchanged sysroot under the old one", async () => {
    const daemon = await start();
    const before = await daemon.scheduler.reload();
    expect(await daemon.scheduler.reload()).toBe(before);
    daemon.engines.world.deploy("");
    daemon.engines.changed();
    await expect.poll(() => daemon.scheduler.status().snapshot.deployments.length).toBe(2);
    expect(daemon.scheduler.status().snapshot.epoch).toBe(before + 1);
  });

  it("carries its warnings through every later snapshot", async () => {
    const daemon = await start();
    const before = daemon.scheduler.status().snapshot;
    await daemon.scheduler.warn("the configuration is odd");
    expect(daemon.scheduler.status().snapshot).toMatchObject({ epoch: before.epoch + 1, warnings: ["the configuration is odd"] });
    expect(before.warnings).toEqual([]);
    daemon.engines.world.deploy("");
    await daemon.scheduler.reload();
    expect(daemon.scheduler.status().snapshot.warnings).toEqual(["the configuration is odd"]);
  });
});

describe("identical requests", () => {
  it("share one run, and each gets its own result", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("planning");
    const [first, second] = await Promise.all([daemon.submit("install", ["vim", "nano"]), daemon.submit("install", ["nano", "vim"])]);
    await gate.entered;
    const third = await daemon.submit("install", ["vim", "nano"], { ...ROOT, uid: 1000 });
    expect((await daemon.scheduler.transaction(first)).joinedWith).toEqual([second, third]);
    expect((await daemon.scheduler.transaction(third)).joinedWith).toEqual([first, second]);
    gate.release();
    const views = await Promise.all([first, second, third].map((id) => daemon.ended(id)));
    expect(new Set(views.map((view) => view.runId)).size).toBe(1);
    for (const view of views) expect(view).toMatchObject({ state: "finished", result: views[0]?.result });
    expect(daemon.engines.world.count("effect")).toBe(1);
    for (const { id } of views) expect(daemon.eventsOf(id).filter((e) => e.event === "finished")).toHaveLength(1);
  });

  it("are not joined where an option differs, nor once a deployment is being written", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("deploying");
    const first = await daemon.submit("install", ["vim"]);
    await gate.entered;
    const second = await daemon.submit("install", ["vim"]);
    const other = await daemon.scheduler.submit({ ...requestOf("install", ["vim"]), idempotent: true }, ROOT);
    const runs = await Promise.all([first, second, other].map(async (id) => (await daemon.scheduler.transaction(id)).runId));
    expect(new Set(runs).size).toBe(3);
    gate.release();
    await Promise.all([first, second, other].map((id) => daemon.ended(id)));
  });

  it("let one of them leave without the others", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("assembling");
    const first = await daemon.submit("install", ["vim"]);
    const second = await daemon.submit("install", ["vim"]);
    await gate.entered;
    await daemon.scheduler.cancel(first, ROOT);
    expect(await daemon.scheduler.transaction(first)).toMatchObject({ state: "cancelled", error: { code: "Cancelled" } });
    expect(await daemon.scheduler.transaction(second)).toMatchObject({ state: "assembling", joinedWith: [] });
    gate.release();
    expect((await daemon.ended(second)).state).toBe("finished");
    expect(daemon.eventsOf(first).filter((e) => e.event === "finished")).toHaveLength(1);
  });

  it("stop the work when all of them leave, also at the same moment", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("assembling");
    const ids = await Promise.all([1, 2, 3].map(() => daemon.submit("install", ["vim"])));
    await gate.entered;
    await Promise.all(ids.map((id) => daemon.scheduler.cancel(id, ROOT)));
    for (const id of ids) {
      expect((await daemon.ended(id)).state).toBe("cancelled");
      expect(daemon.eventsOf(id).filter((e) => e.event === "finished")).toHaveLength(1);
    }
    await daemon.expectLocksFree();
    expect(daemon.engines.world.count("effect")).toBe(0);
  });

  it("are all answered when the run ends while the row of one is still being written", async () => {
    let writeRow = (): void => undefined;
    let rows = 0;
    const held = new Promise<void>((resolve) => {
      writeRow = resolve;
    });
    const daemon = await start((real) => ({
      create: async (row, run) => {
        rows += 1;
        if (rows === 2) await held;
        await real.create(row, run);
      },
    }));
    const gate = daemon.engines.hold("downloading");
    const first = await daemon.submit("prefetch", ["vim"]);
    await gate.entered;
    const second = daemon.submit("prefetch", ["vim"]);
    gate.release();
    await daemon.ended(first);
    writeRow();
    const id = await second;
    expect(await daemon.ended(id)).toMatchObject({ state: "finished", result: { changed: true } });
    expect(daemon.eventsOf(id).map((e) => e.event)).toEqual(["added", "finished"]);
    expect((await daemon.journal.unfinished()).length).toBe(0);
  });

  it("get a run of their own when the one they were to join could not be journalled", async () => {
    let creates = 0;
    const daemon = await start((real) => ({
      create: async (row, run) => {
        creates += 1;
        if (creates === 1) throw FULL_DISK;
        await real.create(row, run);
      },
    }));
    const [first, second] = await Promise.allSettled([daemon.submit("install", ["vim"]), daemon.submit("install", ["vim"])]);
    expect(first).toMatchObject({ status: "rejected", reason: { code: "NoSpace" } });
    expect(second?.status).toBe("fulfilled");
    expect((await daemon.ended(second?.status === "fulfilled" ? second.value : "")).state).toBe("finished");
  });
});

describe("a cancel", () => {
  for (const stage of INSTALL.filter((s) => s !== "deploying")) {
    it(`while ${stage} ends the transaction as cancelled, cleaned up, with its locks free`, async () => {
      const daemon = await start();
      const gate = daemon.engines.hold(stage);
      const id = await daemon.submit("install", ["vim"]);
      const { input } = await gate.entered;
      await daemon.scheduler.cancel(id, ROOT);
      expect(await daemon.ended(id)).toMatchObject({ state: "cancelled", error: { code: "Cancelled" }, result: null });
      expect(daemon.engines.world.count(`clean ${input.runId}`)).toBe(1);
      expect(daemon.engines.world.count("rollBack")).toBe(0);
      expect(daemon.engines.world.count("effect")).toBe(0);
      await daemon.expectLocksFree();
    });
  }

  it("while queued ends it at once and lets those behind it move up", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("assembling");
    const first = await daemon.submit("install", ["vim"]);
    await gate.entered;
    const second = await daemon.submit("install", ["nano"]);
    await daemon.until(second, (view) => view.position === 1);
    const third = await daemon.submit("uninstall", ["mc"]);
    await daemon.until(third, (view) => view.position === 2);
    await daemon.scheduler.cancel(second, ROOT);
    expect((await daemon.ended(second)).state).toBe("cancelled");
    await daemon.until(third, (view) => view.position === 1);
    gate.release();
    expect((await daemon.ended(first)).state).toBe("finished");
    expect((await daemon.ended(third)).state).toBe("finished");
  });

  it("while a deployment is written is refused with TooLate, also to one of several, and all of them finish", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("deploying");
    const first = await daemon.submit("install", ["vim"]);
    const second = await daemon.submit("install", ["vim"]);
    await gate.entered;
    for (const id of [first, second]) {
      expect((await daemon.scheduler.transaction(id)).cancellable).toBe(false);
      await expect(daemon.scheduler.cancel(id, ROOT)).rejects.toMatchObject({ code: "TooLate" });
    }
    gate.release();
    expect((await daemon.ended(first)).state).toBe("finished");
    expect((await daemon.ended(second)).state).toBe("finished");
  });

  it("that comes twice is one cancel, and one that comes after the end is told so", async () => {
    const daemon = await start();
    let stop = (): void => undefined;
    const slow = new Promise<void>((resolve) => {
      stop = resolve;
    });
    daemon.engines.behave = async (_stage, _input, io) => {
      if (!io.signal.aborted) await new Promise((resolve) => io.signal.addEventListener("abort", resolve));
      await slow;
      throw new AptOstreeError("Cancelled", "cancelled");
    };
    const id = await daemon.submit("rollback").catch(() => "");
    await daemon.until(id, (view) => view.state === "deploying");
    await expect(daemon.scheduler.cancel(id, ROOT)).rejects.toMatchObject({ code: "TooLate" });
    const refresh = await daemon.submit("refresh");
    await daemon.until(refresh, (view) => view.state === "refreshing");
    await daemon.scheduler.cancel(refresh, ROOT);
    expect((await daemon.scheduler.transaction(refresh)).state).toBe("cancelling");
    expect(daemon.engines.world.count("clean")).toBe(0);
    await daemon.scheduler.cancel(refresh, ROOT);
    stop();
    expect((await daemon.ended(refresh)).state).toBe("cancelled");
    await expect(daemon.scheduler.cancel(refresh, ROOT)).rejects.toMatchObject({
      code: "TooLate",
      message: expect.stringContaining("cancelled already"),
    });
    await expect(daemon.scheduler.cancel("0123456789ab", ROOT)).rejects.toMatchObject({ code: "NotFound" });
    await expect(daemon.scheduler.cancel("../../etc", ROOT)).rejects.toMatchObject({ code: "NotFound" });
  });

  it("that cannot be journalled is refused and changes nothing", async () => {
    let full = false;
    const daemon = await start((real) => ({
      updateRun: async (run, ...steps) => {
        if (full) throw FULL_DISK;
        await real.updateRun(run, ...steps);
      },
    }));
    const gate = daemon.engines.hold("assembling");
    const id = await daemon.submit("install", ["vim"]);
    await gate.entered;
    full = true;
    await expect(daemon.scheduler.cancel(id, ROOT)).rejects.toMatchObject({ code: "NoSpace" });
    full = false;
    gate.release();
    expect((await daemon.ended(id)).state).toBe("finished");
  });
});

describe("a stage that fails", () => {
  for (const stage of INSTALL) {
    it(`while ${stage} fails the transaction with its error and leaves the old state`, async () => {
      const daemon = await start();
      const before = daemon.scheduler.status().snapshot;
      const gate = daemon.engines.hold(stage);
      const id = await daemon.submit("install", ["vim"]);
      const { input } = await gate.entered;
      gate.fail(new AptOstreeError("ScriptFailed", "cannot configure vim: exit status 1", { details: { package: "vim" } }));
      const view = await daemon.ended(id);
      expect(view).toMatchObject({ state: "failed", result: null });
      expect(view.error).toEqual({ code: "ScriptFailed", message: "cannot configure vim: exit status 1", details: { package: "vim" } });
      expect(daemon.scheduler.status().snapshot).toBe(before);
      expect(daemon.engines.world.count("clean")).toBe(1);
      expect(daemon.engines.world.count("rollBack")).toBe(stage === "deploying" ? 1 : 0);
      const steps = await daemon.journal.steps(input.runId);
      expect(steps.at(-1)).toMatchObject({ stage, phase: "failed" });
      await daemon.expectLocksFree();
    });
  }

  it("is undone before anybody else may assemble, and the snapshot shows it", async () => {
    const daemon = await start();
    const { epoch } = daemon.scheduler.status().snapshot;
    const gate = daemon.engines.hold("deploying", { package: "vim", afterEffect: true });
    const first = await daemon.submit("install", ["vim"]);
    await gate.entered;
    const second = await daemon.submit("install", ["nano"]);
    await daemon.until(second, (view) => view.position === 1);
    await daemon.scheduler.reload();
    gate.fail(new AptOstreeError("DeployFailed", "cannot deploy: the boot loader refused"));
    expect((await daemon.ended(first)).error?.code).toBe("DeployFailed");
    expect((await daemon.ended(second)).state).toBe("finished");
    const { log } = daemon.engines.world;
    expect(log.findIndex((line) => line.startsWith("rollBack"))).toBeLessThan(log.findLastIndex((line) => line.startsWith("assembling")));
    const { snapshot } = daemon.scheduler.status();
    expect(snapshot.deployments.map((d) => d.origin.transaction)).toEqual([second, ""]);
    expect(snapshot.epoch).toBeGreaterThan(epoch);
  });

  it("that cannot be undone is shown as it is", async () => {
    const daemon = await start();
    daemon.engines.rollBack = async () => {
      throw new AptOstreeError("DeployFailed", "cannot remove deployment 0: I/O error");
    };
    const gate = daemon.engines.hold("deploying", { afterEffect: true });
    const id = await daemon.submit("install", ["vim"]);
    await gate.entered;
    gate.fail(new AptOstreeError("DeployFailed", "cannot deploy: the boot loader refused"));
    expect((await daemon.ended(id)).error?.code).toBe("DeployFailed");
    expect(daemon.scheduler.status().snapshot.deployments.map((d) => d.origin.transaction)).toEqual([id, ""]);
  });

  it("with what nobody foresaw is Internal, and with a full disk NoSpace", async () => {
    const daemon = await start();
    const thrown: [unknown, string][] = [
      [new TypeError("x is undefined"), "Internal"],
      [Object.assign(new Error("write failed"), { code: "ENOSPC" }), "NoSpace"],
      [undefined, "Internal"],
    ];
    for (const [error, code] of thrown) {
      const gate = daemon.engines.hold("assembling");
      const id = await daemon.submit("install", ["vim"]);
      await gate.entered;
      gate.fail(error);
      expect((await daemon.ended(id)).error?.code).toBe(code);
    }
    expect(daemon.errors.filter((line) => line.includes("a stage failed unexpectedly"))).toHaveLength(2);
  });

  it("does not matter any more once the deployment stands: a failing clean-up is a warning", async () => {
    const daemon = await start();
    daemon.engines.cleaning = async () => {
      throw new Error("device is busy");
    };
    const id = await daemon.submit("install", ["vim"]);
    expect((await daemon.ended(id)).state).toBe("finished");
    expect((await daemon.scheduler.messages(id, 0)).at(-1)).toMatchObject({ level: "warning", text: "internal error: device is busy" });
  });
});

describe("a request", () => {
  it("that cannot be journalled is refused, and nothing is left of it", async () => {
    let full = true;
    const daemon = await start((real) => ({
      create: async (row, run) => {
        if (full) throw FULL_DISK;
        await real.create(row, run);
      },
    }));
    await expect(daemon.submit("install", ["vim"])).rejects.toMatchObject({ code: "NoSpace" });
    expect(daemon.scheduler.idle).toBe(true);
    expect(daemon.scheduler.status().transactions).toEqual([]);
    expect(daemon.engines.world.log).toEqual([]);
    expect(daemon.seen.filter((seen) => seen.event === "added")).toEqual([]);
    full = false;
    expect((await daemon.ended(await daemon.submit("install", ["vim"]))).state).toBe("finished");
  });

  it("beyond what one user may have waiting is refused, while others are served", async () => {
    const daemon = await start();
    const gate = daemon.engines.hold("assembling");
    await daemon.submit("install", ["first"]);
    await gate.entered;
    const greedy = { ...ROOT, uid: 1000 };
    const ids = await Promise.all(Array.from({ length: 100 }, (_, i) => daemon.submit("install", [`package${i}`], greedy)));
    await expect(daemon.submit("install", ["one-more"], greedy)).rejects.toMatchObject({ code: "Busy" });
    await daemon.submit("refresh", [], { ...ROOT, uid: 1001 });
    await Promise.all(ids.map((id) => daemon.scheduler.cancel(id, greedy)));
    await expect.poll(() => daemon.scheduler.status().transactions.length).toBe(1);
    const again = await daemon.submit("install", ["one-more"], greedy);
    gate.release();
    expect((await daemon.ended(again)).state).toBe("finished");
  });

  it("is refused while the daemon stops", async () => {
    const daemon = await start();
    daemon.scheduler.close();
    await expect(daemon.submit("refresh")).rejects.toMatchObject({ code: "Busy" });
  });

  it("ends even where the disk is full at that moment: it is written when there is space again", async () => {
    let failures = 0;
    const daemon = await start((real) => ({
      endRun: async (...end) => {
        failures += 1;
        if (failures === 1) throw FULL_DISK;
        await real.endRun(...end);
      },
    }));
    const id = await daemon.submit("refresh");
    expect((await daemon.ended(id)).state).toBe("finished");
    expect(daemon.eventsOf(id).filter((e) => e.event === "finished")).toHaveLength(1);
  });

  it("is found again among the newest, active and ended", async () => {
    const daemon = await start();
    const first = await daemon.submit("refresh");
    await daemon.ended(first);
    const gate = daemon.engines.hold("pruning" satisfies Stage);
    const second = await daemon.submit("cleanup");
    await gate.entered;
    const views = await daemon.scheduler.transactions(10);
    expect(views.map((view) => [view.id, view.state])).toEqual([
      [second, "pruning"],
      [first, "finished"],
    ]);
    expect(await daemon.scheduler.transactions(1)).toHaveLength(1);
    gate.release();
    await daemon.ended(second);
  });
});
