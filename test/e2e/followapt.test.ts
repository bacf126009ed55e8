/** A base that nobody publishes anew: its own packages follow apt, in the transaction of whatever is done. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { World } from "../harness/world.ts";

const netbase = (version: string) => ({ name: "netbase", version, files: { "/usr/share/netbase-made": `netbase ${version}\n` } });
const TOOL = { name: "tool", version: "1", files: { "/usr/share/tool": "tool\n" } };

describe("a base that follows apt", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-followapt");
    await world.offer(netbase("98"), TOOL);
    await world.ok("install", "tool");
  });
  afterAll(() => world?.close());

  async function packages(): Promise<string[]> {
    return (await world.next()).layered.map(({ name, version }) => `${name} ${version}`);
  }

  test("has its packages brought to apt's newest from then on", async () => {
    expect(await packages()).toEqual(["tool 1"]);
    expect(await world.ok("rebase", "--follow-apt")).toMatch(/^Upgraded:\n {2}netbase /m);
    expect(await packages()).toEqual(["netbase 98", "tool 1"]);
    expect((await world.next()).origin.followsApt).toBe(true);
    expect(await world.ok("status")).toContain("BasePackages: follow apt");
    await world.publish(netbase("99"), TOOL);
    await world.ok("upgrade");
    expect(await packages()).toEqual(["netbase 99", "tool 1"]);
    expect((await world.cli("upgrade", "--unchanged-exit-77")).status).toBe(77);
    await world.expectSound();
  });

  test("keeps them when something else is done, and through a boot", async () => {
    await world.ok("uninstall", "tool");
    expect(await packages()).toEqual(["netbase 99"]);
    await world.reboot();
    expect((await world.host.exec("cat", ["/usr/share/netbase-made"])).stdout).toBe("netbase 99\n");
  });

  test("is as it was published again when it no longer follows", async () => {
    await world.ok("rebase", "--no-follow-apt");
    const next = await world.next();
    expect(next.commit).toBe(next.origin.baseCommit);
    expect(next.origin.followsApt).toBe(false);
    await world.expectSound();
  });
});
