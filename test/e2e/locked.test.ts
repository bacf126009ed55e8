/** A sysroot that another program has locked with libostree's own lock, as `ostree admin` by hand does. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { World } from "../harness/world.ts";

const one = (name: string) => ({ name, version: "1", files: { [`/usr/share/${name}`]: name } });
const LOCK = "/sysroot/ostree/lock";
/** Takes the lock as libostree does (F_OFD_SETLKW is 38), leaves it to a child that outlives whoever starts it, and prints the child's id. */
const HOLD = `
  $^F = 20;
  open(my $file, "+>>", $ARGV[0]) or die "$!";
  my $flock = pack("s s x4 q q l x4", 1, 0, 0, 0, 0);
  fcntl($file, 38, $flock) or die "$!";
  if (my $child = fork) { print $child; exit 0; }
  open(STDOUT, ">", "/dev/null"); open(STDERR, ">", "/dev/null");
  exec("sleep", "4750");`;

describe("a sysroot that another program has locked", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-locked");
    await world.offer(one("alpha"), one("beta"));
  });
  beforeEach(() => world.reset());
  afterAll(() => world?.close());

  /** A program of the host takes the lock; how the daemon is to name it. */
  async function hold(): Promise<{ name: string; kill: () => Promise<unknown> }> {
    const pid = (await world.host.exec("perl", ["-e", HOLD, LOCK])).stdout.trim();
    await world.untilRuns("sleep 4750");
    return { name: `the sysroot is locked by sleep (pid ${pid})`, kill: () => world.host.exec("sh", ["-c", `kill -KILL ${pid}`]) };
  }

  async function untilItWaits(id: string, name: string): Promise<void> {
    await expect.poll(async () => (await world.transaction(id)).waitingFor).toBe(name);
  }

  test("is waited for by an install, which names the holder and goes on when that is killed", async () => {
    const { name, kill } = await hold();
    try {
      const id = await world.submit("install", "alpha");
      await untilItWaits(id, name);
      expect(await world.transaction(id)).toMatchObject({ cancellable: true, endedMs: 0 });
      await kill();
      expect(await world.ended(id)).toMatchObject({ state: "finished", waitingFor: "" });
      expect((await world.next()).origin.requested).toEqual(["alpha"]);
    } finally {
      await kill().catch(() => undefined);
    }
    await world.expectClean();
  });

  test("is no longer waited for by who is cancelled, at once, and nothing has changed", async () => {
    const { name, kill } = await hold();
    try {
      const before = await world.deployments();
      const id = await world.submit("install", "beta");
      await untilItWaits(id, name);
      const startMs = Date.now();
      await world.ok("cancel", id);
      expect(await world.ended(id)).toMatchObject({ state: "cancelled", error: { code: "Cancelled" } });
      expect(Date.now() - startMs).toBeLessThan(60_000);
      expect(await world.deployments()).toEqual(before);
    } finally {
      await kill();
    }
    await world.expectClean();
  });

  test("is waited for by a cleanup, and a lock that is only left lying there by nobody", async () => {
    await world.ok("install", "alpha");
    const { name, kill } = await hold();
    try {
      const id = await world.withClient((client) => client.submit({ kind: "cleanup", targets: ["pending"], agent: "test" }));
      await untilItWaits(id, name);
      expect((await world.deployments()).length).toBe(2);
      await kill();
      expect(await world.ended(id)).toMatchObject({ state: "finished" });
      expect((await world.deployments()).length).toBe(1);
    } finally {
      await kill().catch(() => undefined);
    }
    await world.host.exec("touch", [LOCK]);
    await world.ok("install", "alpha");
  });
});
