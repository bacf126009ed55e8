/** Daemons that die, and what the next one makes of it; daemons that must not start. */
import { open, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { INNER_APP, INNER_BUS, INNER_NODE } from "../../src/sandbox/layout.ts";
import { Random } from "../harness/random.ts";
import { World } from "../harness/world.ts";

const SLOW = { name: "slow", version: "1", files: { "/usr/share/slow": "slow" }, scripts: { postinst: "sleep 602.75 || true" } };
/** For one test only: a layer that another one made would be remembered, and nothing assembled. */
const SLOW_STOP = { ...SLOW, name: "slow-stop", scripts: { postinst: "sleep 602.85 || true" } };
const one = (name: string) => ({ name, version: "1", files: { [`/usr/share/${name}`]: name } });
const big = { name: "large", version: "1", files: { "/usr/share/large": Buffer.alloc(2_000_000, "large") } };
const ROUNDS = 6;
/** What an installation takes here, about; a round kills within this time. */
const SPAN_MS = 3500;

describe("a daemon that is killed", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-crash");
    await world.offer(SLOW, SLOW_STOP, one("alpha"), one("beta"), big, ...Array.from({ length: ROUNDS }, (_, i) => one(`round${i}`)));
  });
  beforeEach(() => world.reset());
  afterAll(() => world?.close());

  async function killAndRestart(): Promise<void> {
    await world.host.killDaemon("SIGKILL");
    await world.expectQuiet(60_000);
    await world.host.startDaemon();
  }

  test("while assembling leaves no process and no mount; the next one finishes the installation, and its client never notices", async () => {
    const client = world.cli("install", "slow");
    await world.untilRuns("sleep 602.75");
    const { id } = await world.latest();
    await killAndRestart();
    expect((await world.lettingGo("sleep 602.75", client)).status).toBe(0);
    expect(await world.transaction(id)).toMatchObject({ state: "finished", resumed: 1, result: { changed: true } });
    expect((await world.next()).layered).toMatchObject([{ name: "slow" }]);
    await world.expectClean();
    await world.expectSound();
  });

  test("while downloading goes on with what was fetched", async () => {
    await exec("sh", ["-c", 'rm -f "$1"/lib/apt-ostree/archives/large*', "sh", world.host.layout.stateVar]);
    world.mirror.fault("/pool/main/large_1_all.deb", { kind: "stall", afterBytes: 100_000 }, 1);
    const id = await world.submit("install", "large");
    await world.until(id, ["downloading"]);
    await sleep(500);
    await killAndRestart();
    expect(await world.ended(id)).toMatchObject({ state: "finished", resumed: 1 });
    expect((await world.next()).layered).toMatchObject([{ name: "large" }]);
    await world.expectClean();
  });

  test("while refreshing asks again", async () => {
    world.mirror.fault("/dists/test/InRelease", { kind: "silent" }, 1);
    const id = await world.submit("refresh");
    await world.until(id, ["refreshing"]);
    await sleep(300);
    await killAndRestart();
    expect(await world.ended(id)).toMatchObject({ state: "finished", resumed: 1 });
    await world.expectClean();
  });

  test("while others wait forgets none of them", async () => {
    const ids = [await world.submit("install", "slow"), await world.submit("install", "alpha"), await world.submit("install", "beta")];
    await world.untilRuns("sleep 602.75");
    await killAndRestart();
    for (const id of ids) expect(await world.lettingGo("sleep 602.75", world.ended(id))).toMatchObject({ state: "finished" });
    expect((await world.next()).origin.requested).toEqual(["alpha", "beta", "slow"]);
    await world.expectClean();
  });

  test("at any moment leaves the old deployments or the new one, a sound repository and nothing else", { timeout: 600_000 }, async () => {
    const seed = Number(process.env.APT_OSTREE_TEST_SEED ?? Date.now() % 100_000);
    const random = new Random(seed);
    const base = (await world.next()).id;
    for (let round = 0; round < ROUNDS; round++) {
      const afterMs = random.whole(0, SPAN_MS);
      const about = `seed ${seed}, round ${round}, killed after ${afterMs} ms`;
      const id = await world.submit("install", `round${round}`);
      await sleep(afterMs);
      await killAndRestart();
      const ended = await world.ended(id);
      expect(ended.state, `${about}: ${ended.error?.message}`).toBe("finished");
      const deployments = await world.deployments();
      expect(
        deployments.map((d) => d.origin.requested),
        about,
      ).toEqual([[`round${round}`], []]);
      expect(deployments[1]?.id, about).toBe(base);
      await world.expectClean();
      await world.ok("rollback");
    }
    await world.expectSound();
  });

  test("with SIGTERM while assembling stops, and the next one finishes the work", async () => {
    const id = await world.submit("install", "slow-stop");
    await world.untilRuns("sleep 602.85");
    await world.host.killDaemon("SIGTERM");
    await world.expectQuiet(60_000);
    await world.host.startDaemon();
    expect(await world.lettingGo("sleep 602.85", world.ended(id))).toMatchObject({ state: "finished", resumed: 1 });
    await world.expectClean();
  });
});

describe("a daemon", () => {
  let world: World;
  const state = "/var/lib/apt-ostree";
  beforeAll(async () => {
    world = await World.make("e2e-daemon");
    await world.offer(one("alpha"));
  });
  afterAll(() => world?.close());

  function daemon(...args: readonly string[]) {
    return world.host.exec(INNER_NODE, [`${INNER_APP}/dist/src/daemon.js`, "--bus", INNER_BUS, ...args], {
      okStatuses: [0, 1, 2],
      timeoutMs: 120_000,
    });
  }

  test("does not start beside another one on the same sysroot, whatever its state directory", async () => {
    for (const directory of [state, "/var/lib/another"]) {
      const { status, stderr } = await daemon("--state", directory);
      expect({ status, stderr }).toMatchObject({ status: 1, stderr: expect.stringMatching(/cannot lock .*: process \d+ holds it/) });
    }
    await world.ok("status");
  });

  test("does not start with a configuration that it cannot read or understand, and names file and key", async () => {
    await world.host.killDaemon("SIGTERM");
    const wrong: readonly (readonly [string, RegExp])[] = [
      ["installTimeoutSeconds: soon\n", /installTimeoutSeconds/],
      ["noSuchKey: 1\n", /noSuchKey/],
      ["keepLayers: [1\n", /daemon\.yaml/],
      ["- 1\n", /keys and values/],
    ];
    const directory = join(await world.host.bootedDeployment(), "etc/apt-ostree");
    await exec("mkdir", ["-p", directory]);
    for (const [text, named] of wrong) {
      await writeFile(join(directory, "daemon.yaml"), text);
      const { status, stderr } = await daemon("--state", state);
      expect({ status, stderr }).toMatchObject({ status: 1, stderr: expect.stringMatching(/cannot (use|read) \/etc\/apt-ostree\/daemon\.yaml/) });
      expect(stderr).toMatch(named);
    }
    expect(await daemon("--state", state, "--config", "/etc/missing.yaml")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("/etc/missing.yaml"),
    });
    await exec("rm", ["-r", directory]);
    await world.host.startDaemon();
    await world.ok("status");
  });

  test("sets a corrupt journal aside, warns of it in the status and works", async () => {
    await world.host.killDaemon("SIGTERM");
    const path = join(world.host.layout.stateVar, "lib/apt-ostree/journal.db");
    const { size } = await stat(path);
    const file = await open(path, "r+");
    for (let at = 0; at < size; at += 512) await file.write(Buffer.alloc(256, 0x5a), 0, 256, at);
    await file.close();
    await world.host.startDaemon();
    expect((await world.status()).snapshot.warnings.join()).toMatch(/journal was damaged and set aside/);
    expect(await world.ok("status")).toContain("set aside");
    expect(
      (await readdir(join(path, ".."))).filter((name) => name.startsWith("journal.db") && name.length > "journal.db-journal".length).length,
    ).toBeGreaterThan(0);
    await world.ok("install", "alpha");
    expect((await world.next()).layered).toMatchObject([{ name: "alpha" }]);
    expect(await readFile(join((await world.next()).directory, "usr/share/alpha"), "utf8")).toBe("alpha");
  });
});
