/** Other bases: rebase, deploy, dry runs and the plans they tell, reinstall. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testBase } from "../harness/host.ts";
import { World } from "../harness/world.ts";

const tool = (version: string) => ({ name: "tool", version, files: { "/usr/share/tool": `tool ${version}\n` } });

describe("another base", () => {
  const { ref } = testBase();
  let world: World;
  let [first, second, other] = ["", "", ""];
  beforeAll(async () => {
    world = await World.make("e2e-bases");
    await world.offer(tool("1"));
    first = (await world.next()).commit;
    second = await world.publishBase("14.1");
    other = (
      await world.host.exec("sh", [
        "-c",
        `ostree commit --repo=/sysroot/ostree/repo --branch=other/base --base=${ref} --tree=ref=${ref} \
      --add-metadata-string=version=15 --add-metadata=ostree.bootable=true --subject=other`,
      ])
    ).stdout.trim();
    await world.ok("install", "tool");
  });
  afterAll(() => world?.close());

  test("is followed after a rebase, with what was layered, and no more after its undo", async () => {
    await world.ok("rebase", "other/base");
    expect(await world.next()).toMatchObject({ version: "15", origin: { refspec: "other/base", baseCommit: other, requested: ["tool"] } });
    await world.ok("undo", (await world.latest()).id);
    expect((await world.next()).origin).toMatchObject({ refspec: ref, baseCommit: first, requested: ["tool"] });
    await world.failing(["rebase", "no/such"], { code: "NotFound", message: /no ref no\/such/ });
    await world.failing(["rebase", "nobody:base"], { code: "NotFound", message: /nobody/ });
  });

  test("is deployed by a version or a part of its commit, and the next upgrade goes on from there", async () => {
    await world.ok("deploy", "14.1");
    expect((await world.next()).origin).toMatchObject({ refspec: ref, baseCommit: second, requested: ["tool"] });
    await world.ok("deploy", first.slice(0, 10));
    expect((await world.next()).origin.baseCommit).toBe(first);
    await world.failing(["deploy", "99"], { code: "NotFound", message: /its newest are 14\.1/ });
    await world.ok("upgrade");
    expect((await world.next()).origin.baseCommit).toBe(second);
    await world.expectSound();
  });

  test("and anything else is tried out without effect, with the digest of a plan that can be carried out later", async () => {
    const before = await world.state();
    await world.publish(tool("2"));
    const said = await world.ok("upgrade", "--dry-run");
    expect(said).toMatch(/^Upgraded:\n {2}tool 1 -> 2$/m);
    const digest = /plan ([0-9a-f]{40})/.exec(said)?.[1] ?? expect.fail(said);
    await world.expectUnchanged(before);
    expect(await world.ok("upgrade", "--preview")).toContain(digest);
    await world.failing(["upgrade", "--plan", "0123456789ab"], { code: "Conflict", message: /it is [0-9a-f]{40} by now/ });
    await world.ok("upgrade", "--plan", digest);
    expect((await world.latest()).result?.plan).toBe(digest);
    expect((await world.next()).layered).toMatchObject([{ name: "tool", version: "2" }]);
    expect(await world.ok("upgrade", "--dry-run")).toContain("Nothing to do");
  });

  test("is not needed to assemble a layer anew", async () => {
    const { commit, origin } = await world.next();
    await world.ok("reinstall");
    const again = await world.next();
    expect((await world.latest()).result?.timings.find(({ stage }) => stage === "assembling")?.cached).toBe(false);
    expect(again.origin).toMatchObject({ layerKey: origin.layerKey, requested: ["tool"] });
    expect(again.commit).toBe(commit);
    await world.ok("cleanup", "--base");
    await world.ok("reinstall");
    expect((await world.next()).commit).toBe(commit);
    await world.failing(["reinstall", "bash"], { code: "NotInstalled", message: /cannot reinstall bash: not requested/ });
  });
});
