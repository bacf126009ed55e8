import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AptOstreeError } from "../../src/model/errors.ts";
import { Daemon, ROOT } from "../harness/daemon.ts";

let directory: string;
let daemon: Daemon;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "sharing-"));
  daemon = await Daemon.start(directory);
});

afterEach(async () => {
  expect(daemon.engines.world.violations).toEqual([]);
  expect(daemon.errors).toEqual([]);
  await daemon.kill();
  rmSync(directory, { recursive: true });
});

/** Holds the assembler with an install of another package; the returned function lets it go. */
async function occupy(): Promise<() => void> {
  const gate = daemon.engines.hold("assembling", { package: "slow" });
  await daemon.submit("install", ["slow"]);
  await gate.entered;
  return gate.release;
}

describe("installs that wait", () => {
  it("become one deployment with a result for each", async () => {
    const release = await occupy();
    const ids = [await daemon.submit("install", ["vim"]), await daemon.submit("install", ["nano"], { ...ROOT, uid: 1000 })];
    const [first, second] = await Promise.all(ids.map((id) => daemon.scheduler.transaction(id)));
    expect(first?.runId).toBe(second?.runId);
    expect(first?.joinedWith).toEqual([second?.id]);
    release();
    for (const id of ids) expect(await daemon.ended(id)).toMatchObject({ state: "finished", result: { changed: true } });
    expect(daemon.engines.world.count("effect")).toBe(2);
    await daemon.expectLocksFree();
  });

  it("fail apart: who asked for what cannot be installed fails with its own reason, the others are installed", async () => {
    daemon.engines.behave = async (stage, { request }) => {
      if (stage === "planning" && request.packages.includes("missing")) throw new AptOstreeError("UnknownPackage", "cannot find missing");
      if (stage === "assembling" && request.packages.includes("broken")) throw new AptOstreeError("ScriptFailed", "cannot configure broken");
      return undefined;
    };
    const release = await occupy();
    const names = ["vim", "missing", "nano", "broken", "mc"];
    const ids = await Promise.all(names.map((name, index) => daemon.submit("install", [name], { ...ROOT, uid: 1000 + index })));
    release();
    const views = await Promise.all(ids.map((id) => daemon.ended(id)));
    expect(views.map((view) => view.error?.code ?? view.state)).toEqual(["finished", "UnknownPackage", "finished", "ScriptFailed", "finished"]);
    const messages = await daemon.scheduler.messages(ids[0] ?? "", 0);
    expect(messages.map((message) => message.seq)).toEqual(messages.map((_, index) => index + 1));
    expect(messages.at(0)?.text).toMatch(/^together with other requests this failed: cannot (find missing|configure broken)/);
    expect(await daemon.journal.unfinished()).toEqual([]);
    await daemon.expectLocksFree();
  });

  it("do without what somebody wanted who has left, and stop when all have", async () => {
    const release = await occupy();
    const [first, second] = [await daemon.submit("install", ["vim"]), await daemon.submit("install", ["nano"])];
    await daemon.scheduler.cancel(first, ROOT);
    expect(await daemon.ended(first)).toMatchObject({ state: "cancelled" });
    const planned: string[][] = [];
    daemon.engines.behave = async (stage, { request }) => {
      if (stage === "assembling") planned.push([...request.packages]);
      return undefined;
    };
    release();
    expect(await daemon.ended(second)).toMatchObject({ state: "finished" });
    expect(planned).toEqual([["slow"], ["nano"]]);
  });

  it("let one leave also while they are assembled: what only that one wanted is not deployed", async () => {
    const gates = [daemon.engines.hold("assembling", { package: "vim" }), daemon.engines.hold("assembling", { package: "vim" })];
    const release = await occupy();
    const [first, second] = [await daemon.submit("install", ["vim"]), await daemon.submit("install", ["nano"])];
    release();
    await gates[0]?.entered;
    await daemon.scheduler.cancel(first, ROOT);
    expect(await daemon.ended(second)).toMatchObject({ state: "finished" });
    expect(await daemon.scheduler.transaction(first)).toMatchObject({ state: "cancelled" });
    expect(gates[1]?.used).toBe(false);
    await daemon.expectLocksFree();
  });

  it("take in no more once they are assembled", async () => {
    const gate = daemon.engines.hold("assembling", { package: "vim" });
    const first = await daemon.submit("install", ["vim"]);
    await gate.entered;
    const second = await daemon.submit("install", ["nano"]);
    expect((await daemon.scheduler.transaction(second)).runId).not.toBe((await daemon.scheduler.transaction(first)).runId);
    gate.release();
    expect(await daemon.ended(second)).toMatchObject({ state: "finished" });
  });

  it("absorb one that wants a part of it", async () => {
    const gate = daemon.engines.hold("downloading");
    const all = await daemon.submit("install", ["vim", "nano"]);
    await gate.entered;
    const part = await daemon.submit("install", ["vim"]);
    expect((await daemon.scheduler.transaction(part)).joinedWith).toEqual([all]);
    gate.release();
    expect(await daemon.ended(part)).toMatchObject({ state: "finished" });
    expect(daemon.engines.world.count("effect")).toBe(1);
  });

  it("keep their order where they contradict each other", async () => {
    const release = await occupy();
    const order: string[] = [];
    daemon.engines.behave = async (stage, { request }) => {
      if (stage === "deploying") order.push(`${request.kind} ${request.packages}`);
      return undefined;
    };
    const asked = [
      await daemon.submit("install", ["vim"]),
      await daemon.submit("uninstall", ["vim"], { ...ROOT, uid: 1000 }),
      await daemon.submit("install", ["vim"], { ...ROOT, uid: 1001 }, { requestClass: "timer" }),
    ];
    release();
    for (const id of asked) await daemon.ended(id);
    expect(order.slice(-3)).toEqual(["install vim", "uninstall vim", "install vim"]);
  });
});

describe("a prefetch that runs", () => {
  it("becomes the upgrade that wants it, where it is; both get their result, and nothing is done twice", async () => {
    const gate = daemon.engines.hold("downloading");
    const prefetch = await daemon.submit("prefetch", [], ROOT, { requestClass: "timer" });
    const { io } = await gate.entered;
    expect(io.awaited.aborted).toBe(false);
    const upgrade = await daemon.submit("upgrade");
    expect((await daemon.scheduler.transaction(upgrade)).joinedWith).toEqual([prefetch]);
    expect(io.awaited.aborted).toBe(true);
    const assembling = daemon.engines.hold("assembling");
    gate.release();
    await assembling.entered;
    expect(await daemon.ended(prefetch)).toMatchObject({ state: "finished", progress: { percent: 100 } });
    expect((await daemon.scheduler.transaction(upgrade)).state).toBe("assembling");
    assembling.release();
    expect(await daemon.ended(upgrade)).toMatchObject({ state: "finished" });
    for (const stage of ["refreshing", "planning", "downloading"]) expect(daemon.engines.world.count(stage)).toBe(1);
  });

  it("goes on as itself when that upgrade is cancelled", async () => {
    const gate = daemon.engines.hold("downloading");
    const prefetch = await daemon.submit("prefetch");
    await gate.entered;
    const upgrade = await daemon.submit("upgrade");
    await daemon.scheduler.cancel(upgrade, ROOT);
    gate.release();
    expect(await daemon.ended(prefetch)).toMatchObject({ state: "finished" });
    expect(daemon.engines.world.count("assembling")).toBe(0);
    await daemon.expectLocksFree();
  });

  it("refreshes the lists after all where it had found them fresh enough", async () => {
    daemon.engines.behave = async (stage, { request }) =>
      stage === "refreshing" && request.kind === "prefetch" ? { facts: { listsGeneration: "1" }, cached: true, verdict: "proceed" } : undefined;
    const gate = daemon.engines.hold("downloading");
    await daemon.submit("prefetch");
    await gate.entered;
    const upgrade = await daemon.submit("upgrade");
    expect(await daemon.ended(upgrade)).toMatchObject({ state: "finished" });
    expect(daemon.engines.world.count("refreshing")).toBe(2);
  });

  it("is one run for a thousand that ask for the same", async () => {
    const gate = daemon.engines.hold("refreshing");
    const first = daemon.submit("prefetch", [], { ...ROOT, uid: 0 }, { requestClass: "timer" });
    await gate.entered;
    const others = Array.from({ length: 999 }, (_, index) => daemon.submit("prefetch", [], { ...ROOT, uid: index % 100 }, { requestClass: "timer" }));
    const ids = await Promise.all([first, ...others]);
    gate.release();
    const views = await Promise.all(ids.map((id) => daemon.ended(id)));
    expect(new Set(views.map((view) => view.runId)).size).toBe(1);
    expect(daemon.engines.world.count("downloading")).toBe(1);
  });
});

describe("a refresh", () => {
  it("inside an upgrade ends as soon as the lists are there", async () => {
    const gate = daemon.engines.hold("refreshing");
    const upgrade = await daemon.submit("upgrade");
    await gate.entered;
    const refresh = await daemon.submit("refresh");
    const planning = daemon.engines.hold("planning");
    gate.release();
    await planning.entered;
    expect(await daemon.ended(refresh)).toMatchObject({ state: "finished" });
    expect(daemon.engines.world.count("refreshing")).toBe(1);
    planning.release();
    expect(await daemon.ended(upgrade)).toMatchObject({ state: "finished" });
  });
});

describe("who will not wait", () => {
  it("is refused at once, told for whom it would have to wait, and leaves nothing", async () => {
    const release = await occupy();
    const refused = daemon.submit("upgrade", [], ROOT, { noWait: true });
    await expect(refused).rejects.toMatchObject({
      code: "Busy",
      message: expect.stringMatching(/cannot go on with upgrade: it would wait for install slow \([0-9a-f]{12}\)/),
    });
    const refresh = await daemon.submit("refresh", [], ROOT, { noWait: true });
    expect(await daemon.ended(refresh)).toMatchObject({ state: "finished" });
    release();
  });

  it("longer than a while is told so then, and whoever shares its run goes on", async () => {
    const release = await occupy();
    const patient = await daemon.submit("install", ["vim"]);
    const hasty = await daemon.submit("install", ["nano"], ROOT, { waitTimeoutMs: 60 });
    const view = await daemon.ended(hasty);
    expect(view).toMatchObject({ state: "failed", error: { code: "Busy", message: expect.stringContaining("install slow") } });
    release();
    expect(await daemon.ended(patient)).toMatchObject({ state: "finished" });
    await daemon.expectLocksFree();
  });
});

describe("an undo", () => {
  it("carries what the transaction changed, and is a transaction of its own", async () => {
    const install = await daemon.submit("install", ["vim"]);
    await daemon.ended(install);
    const undo = await daemon.undo(install);
    expect(await daemon.ended(undo)).toMatchObject({
      state: "finished",
      kind: "undo",
      title: `undo ${install}`,
      request: { undo: { transaction: install, from: { requested: [] }, to: { requested: ["vim"] } } },
    });
  });

  it("of what changed nothing, is not there, or has not ended is refused", async () => {
    await expect(daemon.undo("0".repeat(12))).rejects.toMatchObject({ code: "NotFound" });
    const refresh = await daemon.submit("refresh");
    await daemon.ended(refresh);
    await expect(daemon.undo(refresh)).rejects.toMatchObject({ code: "Conflict" });
    const release = await occupy();
    const waiting = await daemon.submit("upgrade");
    await expect(daemon.undo(waiting)).rejects.toMatchObject({ code: "Conflict" });
    release();
  });
});
