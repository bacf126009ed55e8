/** Several clients at once, clients that go away, and cancelling at every stage. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { pollStatus } from "../../src/sandbox/poller.ts";
import { endOf, World } from "../harness/world.ts";

const SLOW = { name: "slow", version: "1", files: { "/usr/share/slow": "slow" }, scripts: { postinst: "sleep 603.25 || true" } };
const SLOWER = { ...SLOW, name: "slower", scripts: { postinst: "sleep 608.25 || true" } };
const one = (name: string, version = "1") => ({ name, version, files: { [`/usr/share/${name}`]: `${name} ${version}\n` } });
const big = (name: string) => ({ name, version: "1", files: { [`/usr/share/${name}`]: Buffer.alloc(3_000_000, name) } });
/** What holds SLOW up until it is let go. */
const HOLDS = "sleep 603.25";
/** Far less than anything here would take that is not cancelled; how fast it is, is measured and not tested. */
const PROMPT_MS = 60_000;
const CANCELLED = { state: "cancelled", error: { code: "Cancelled" } };

describe("several clients at once", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-together", { config: { keepLayers: 0 } });
    await world.offer(SLOW, SLOWER, one("alpha"), one("beta"), one("gamma"), big("large"));
  });
  beforeEach(() => world.reset());
  afterAll(() => world?.close());

  test("that ask for the same share one run, and each gets its result", async () => {
    const clients = Promise.all([world.cli("install", "slow"), world.cli("install", "slow")]);
    await expect.poll(async () => (await world.status()).transactions.length).toBe(2);
    const both = await world.lettingGo(HOLDS, clients);
    expect(both.map((b) => b.status)).toEqual([0, 0]);
    const [a, b] = await world.withClient((client) => client.transactions(2));
    expect(a?.id).not.toBe(b?.id);
    expect(a?.runId).toBe(b?.runId);
    expect([a, b]).toMatchObject([{ state: "finished", result: { changed: true } }, { state: "finished" }]);
    expect((await world.deployments()).length).toBe(2);
  });

  test("that ask for different packages beside a refresh and a status poller are all answered, and both packages are there", async () => {
    const done = new AbortController();
    const polling = pollStatus(world.host.bus, 10, done.signal);
    const clients = Promise.all([
      world.cli("install", "slow"),
      world.cli("install", "alpha", "beta"),
      world.cli("refresh-md"),
      world.cli("prefetch", "gamma"),
      world.cli("status", "--json"),
    ]);
    const ended = await world.lettingGo(HOLDS, clients).finally(() => done.abort());
    expect(ended.map((e) => e.status)).toEqual([0, 0, 0, 0, 0]);
    const { count, maxMs } = await polling;
    expect(count).toBeGreaterThan(20);
    expect(maxMs).toBeLessThan(PROMPT_MS);
    const next = await world.next();
    expect(next.origin.requested).toEqual(["alpha", "beta", "slow"]);
    expect(next.layered.map((p) => p.name)).toEqual(["alpha", "beta", "slow"]);
    await world.expectClean();
    await world.expectSound();
  });

  test("that wait so long that their package lists are gone are planned with the newest", async () => {
    const first = await world.submit("install", "slower");
    await world.untilRuns("sleep 608.25");
    const second = await world.submit("install", "alpha");
    await world.until(second, ["queued", "assembling"]);
    for (const version of ["2", "3", "4", "5"]) await world.offer(SLOW, SLOWER, one("alpha"), one("beta", version), one("gamma"), big("large"));
    const old = 'cd "$1"; for g in [0-9]*; do [ "$g" = "$(readlink current)" ] || rm -r "$g"; done';
    await exec("sh", ["-ec", old, "sh", join(world.host.layout.stateVar, "lib/apt-ostree/lists")]);
    const ended = await world.lettingGo("sleep 608.25", Promise.all([world.ended(first), world.ended(second)]));
    expect(ended).toMatchObject([{ state: "finished" }, { state: "finished" }]);
    expect((await world.next()).origin.requested).toEqual(["alpha", "slower"]);
  });

  test("a client that is killed leaves its transaction running to its end", async () => {
    const client = world.spawnCli("install", "slow");
    const gone = endOf(client);
    await world.untilRuns(HOLDS);
    client.kill("SIGKILL");
    await gone;
    const { id } = await world.latest();
    expect(await world.lettingGo(HOLDS, world.ended(id))).toMatchObject({ state: "finished", result: { changed: true } });
    expect((await world.next()).layered).toMatchObject([{ name: "slow" }]);
  });

  test("Ctrl-C in the command line cancels the transaction and waits for its end", async () => {
    const before = await world.state();
    const client = world.spawnCli("install", "slow");
    const ended = endOf(client);
    await world.untilRuns(HOLDS);
    client.kill("SIGINT");
    expect((await ended).status).toBe(130);
    expect(await world.latest()).toMatchObject(CANCELLED);
    await world.expectUnchanged(before);
  });

  describe("cancelling", () => {
    test("while waiting behind another transaction takes effect at once and leaves the other alone", async () => {
      const first = await world.submit("install", "slow");
      await world.untilRuns(HOLDS);
      const second = await world.submit("install", "alpha");
      const waiting = await world.until(second, ["queued"]);
      expect(waiting.waitingFor).toContain(first);
      const startMs = Date.now();
      await world.ok("cancel", second);
      expect(await world.ended(second)).toMatchObject(CANCELLED);
      expect(Date.now() - startMs).toBeLessThan(PROMPT_MS);
      expect(await world.lettingGo(HOLDS, world.ended(first))).toMatchObject({ state: "finished" });
      expect((await world.next()).origin.requested).toEqual(["slow"]);
    });

    test("while downloading ends and leaves nothing behind", async () => {
      await exec("sh", ["-c", 'rm -f "$1"/lib/apt-ostree/archives/large*', "sh", world.host.layout.stateVar]);
      const before = await world.state();
      world.mirror.fault("/pool/main/large_1_all.deb", { kind: "stall", afterBytes: 100_000 });
      const id = await world.submit("install", "large");
      await world.until(id, ["downloading"]);
      await sleep(300);
      const startMs = Date.now();
      await world.ok("cancel", id);
      expect(await world.ended(id)).toMatchObject(CANCELLED);
      expect(Date.now() - startMs).toBeLessThan(PROMPT_MS);
      expect(await world.leftovers()).toEqual([]);
      world.mirror.clearFaults();
      await world.ok("install", "large");
      await world.ok("rollback");
      await world.expectUnchanged(before);
    });

    test("while refreshing ends, and the lists are as they were", async () => {
      world.mirror.fault("/dists/test/Release", { kind: "silent" });
      world.mirror.fault("/dists/test/InRelease", { kind: "silent" });
      const before = await world.state();
      const id = await world.submit("refresh");
      await world.until(id, ["refreshing"]);
      await sleep(300);
      const startMs = Date.now();
      await world.ok("cancel", id);
      expect(await world.ended(id)).toMatchObject(CANCELLED);
      expect(Date.now() - startMs).toBeLessThan(PROMPT_MS);
      await world.expectUnchanged(before);
      world.mirror.clearFaults();
      await world.ok("install", "alpha");
    });

    test("while assembling ends the maintainer scripts and leaves no process, mount or work tree", async () => {
      const before = await world.state();
      const id = await world.submit("install", "slow", "beta");
      await world.untilRuns(HOLDS);
      const startMs = Date.now();
      await world.ok("cancel", id);
      expect(await world.ended(id)).toMatchObject(CANCELLED);
      expect(Date.now() - startMs).toBeLessThan(PROMPT_MS);
      await world.expectUnchanged(before);
    });

    test("while deploying is too late, and so is after the end", async () => {
      const id = await world.submit("install", "alpha");
      const seen = await world.withClient(async (client) => {
        for await (const event of client.follow(id)) if ("view" in event && event.view.state === "deploying" && !event.view.cancellable) break;
        return await client.cancel(id).then(
          () => "cancelled",
          (error: { code?: string }) => error.code,
        );
      });
      expect(seen).toBe("TooLate");
      expect(await world.ended(id)).toMatchObject({ state: "finished" });
      const { status, stderr } = await world.cli("cancel", id);
      expect({ status, stderr }).toMatchObject({ status: 1, stderr: expect.stringContaining("cannot cancel") });
    });

    test("one of two that share a run leaves the run to the other", async () => {
      const first = await world.submit("install", "slow", "gamma");
      const second = await world.submit("install", "slow", "gamma");
      await world.untilRuns(HOLDS);
      await world.ok("cancel", first);
      expect(await world.ended(first)).toMatchObject(CANCELLED);
      expect(await world.lettingGo(HOLDS, world.ended(second))).toMatchObject({ state: "finished" });
      expect((await world.next()).origin.requested).toEqual(["gamma", "slow"]);
    });
  });
});
