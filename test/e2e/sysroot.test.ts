/** A sysroot that others change too, and clients other than the command line. */
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { checkoutRoot } from "../../src/sandbox/layout.ts";
import { testBase } from "../harness/host.ts";
import { World } from "../harness/world.ts";

const SLOW = { name: "slow", version: "1", files: { "/usr/share/slow": "slow" }, scripts: { postinst: "sleep 602.5 || true" } };
const one = (name: string) => ({ name, version: "1", files: { [`/usr/share/${name}`]: name } });

describe("a sysroot that is changed by hand", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-sysroot", { config: { keepLayers: 0 } });
    await world.offer(SLOW, one("alpha"), one("beta"));
  });
  beforeEach(async () => {
    await world.host.exec("sh", ["-c", "ostree admin pin --unpin 0 >/dev/null 2>&1; ostree admin pin --unpin 1 >/dev/null 2>&1; true"]);
    await world.reset();
  });
  afterAll(() => world?.close());

  test("between two transactions is seen without being asked", async () => {
    await world.ok("install", "alpha");
    await world.host.exec("ostree", ["admin", "undeploy", "0"]);
    await expect.poll(async () => (await world.deployments()).length).toBe(1);
    await world.ok("install", "beta");
    expect((await world.next()).origin.requested).toEqual(["beta"]);
  });

  test("while a layer is assembled makes the transaction plan again on what is there then", async () => {
    await world.ok("install", "alpha");
    const id = await world.submit("install", "slow");
    await world.untilRuns("sleep 602.5");
    await world.host.exec("ostree", ["admin", "undeploy", "0"]);
    const ended = await world.lettingGo("sleep 602.5", world.ended(id));
    expect(ended.state, ended.error?.message).toBe("finished");
    const next = await world.next();
    expect(next.origin).toMatchObject({ requested: ["slow"], transaction: id });
    await world.expectClean();
    await world.expectSound();
  });

  test("by a deployment of another's while a layer is assembled loses neither", async () => {
    const id = await world.submit("install", "slow");
    await world.untilRuns("sleep 602.5");
    const script = `d=$(mktemp -d); mkdir -p $d/usr/share; echo x > $d/usr/share/by-hand
      ostree commit --repo=/sysroot/ostree/repo --branch=by-hand --base=${testBase().ref} --tree=dir=$d --add-metadata-string=version=hand >/dev/null
      ostree admin deploy --no-prune --stage --os=debian by-hand`;
    await world.host.exec("sh", ["-c", script]);
    const ended = await world.lettingGo("sleep 602.5", world.ended(id));
    if (ended.state === "failed") expect(ended.error?.code).toBe("Conflict");
    else {
      // Planned again on the deployment by hand, which is what a person would have got who had waited.
      const next = await world.next();
      expect(next.origin.requested).toEqual(["slow"]);
      expect((await exec("ls", [join(next.directory, "usr/share")])).stdout).toContain("by-hand");
    }
    await world.expectClean();
  });

  test("by a pin does not stop a transaction, and what is pinned survives a cleanup", async () => {
    await world.ok("install", "alpha");
    await world.host.reboot();
    const id = await world.submit("install", "slow");
    await world.untilRuns("sleep 602.5");
    await world.host.exec("ostree", ["admin", "pin", "1"]);
    expect(await world.lettingGo("sleep 602.5", world.ended(id))).toMatchObject({ state: "finished" });
    await world.ok("cleanup", "--pending", "--rollback");
    expect(await world.deployments()).toMatchObject([{ booted: true }, { pinned: true }]);
    await world.host.exec("ostree", ["admin", "pin", "--unpin", "1"]);
    await world.ok("cleanup", "--rollback");
    expect((await world.deployments()).length).toBe(1);
  });
});

describe("the Python client of the design document", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-seed");
    await world.offer(one("alpha"));
  });
  afterAll(() => world?.close());

  test("reads the status and installs, unchanged", async () => {
    const client = (...args: string[]) =>
      exec("python3", [join(checkoutRoot(), "test/integration/seed_client.py"), ...args], { env: { DBUS_SYSTEM_BUS_ADDRESS: world.host.bus } });
    const status = JSON.parse((await client("status")).stdout) as { snapshot: { deployments: unknown[] } };
    expect(status.snapshot.deployments).toHaveLength(1);
    const id = (await client("install", "alpha")).stdout.trim();
    expect(id).toBe((await world.latest()).id);
    expect(await world.ended(id)).toMatchObject({ state: "finished", result: { changed: true, staged: true } });
    expect((await world.next()).layered).toMatchObject([{ name: "alpha" }]);
  });
});
