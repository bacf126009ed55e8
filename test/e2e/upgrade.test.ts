/** Upgrades: a new base, newer layered packages, both, or nothing. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testBase } from "../harness/host.ts";
import { World } from "../harness/world.ts";

const tool = (version: string) => ({ name: "tool", version, files: { "/usr/share/tool": `tool ${version}\n` } });

describe("upgrade", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-upgrade");
    await world.offer(tool("1"));
  });
  afterAll(() => world?.close());

  test("with nothing new it says so, with status 77 if that is asked for", async () => {
    const before = await world.state();
    expect(await world.ok("upgrade")).toContain("Everything is up to date");
    expect((await world.cli("upgrade", "--unchanged-exit-77")).status).toBe(77);
    await world.expectUnchanged(before);
  });

  test("takes a newer version of a layered package on the same base", async () => {
    await world.ok("install", "tool");
    const { origin } = await world.next();
    await world.publish(tool("2"));
    const said = await world.ok("upgrade");
    expect(said).toMatch(/tool.*1.*2/);
    const next = await world.next();
    expect(next.origin).toMatchObject({ baseCommit: origin.baseCommit, requested: ["tool"] });
    expect(next.layered).toMatchObject([{ name: "tool", version: "2" }]);
    expect(await readFile(join(next.directory, "usr/share/tool"), "utf8")).toBe("tool 2\n");
    expect((await world.cli("upgrade", "--unchanged-exit-77")).status).toBe(77);
  });

  test("takes the base's new commit and layers the packages on it", async () => {
    const commit = await world.publishBase("14.1");
    await world.ok("upgrade");
    const next = await world.next();
    expect(next).toMatchObject({ version: "14.1", origin: { baseCommit: commit, requested: ["tool"], refspec: testBase().ref } });
    expect(await readFile(join(next.directory, "usr/share/base-version"), "utf8")).toBe("14.1\n");
    expect(await readFile(join(next.directory, "usr/share/tool"), "utf8")).toBe("tool 2\n");
    await world.host.reboot();
    expect((await world.host.exec("cat", ["/usr/share/base-version", "/usr/share/tool"])).stdout).toBe("14.1\ntool 2\n");
    await world.expectSound();
  });

  test("takes a new base where nothing is layered", async () => {
    await world.ok("uninstall", "tool");
    const commit = await world.publishBase("14.2");
    await world.ok("upgrade");
    expect(await world.next()).toMatchObject({ commit, version: "14.2", layered: [], origin: { baseCommit: commit, requested: [] } });
  });

  test("install and uninstall stay on the base that is deployed, whatever its ref holds by now", async () => {
    const { origin } = await world.next();
    const commit = await world.publishBase("14.3");
    await world.ok("install", "tool");
    expect((await world.next()).origin.baseCommit).toBe(origin.baseCommit);
    await world.ok("upgrade");
    expect((await world.next()).origin.baseCommit).toBe(commit);
  });

  test("a bare prefetch downloads what the next upgrade needs, and the upgrade then downloads nothing", async () => {
    await world.publish(tool("3"));
    await world.ok("refresh-md");
    await world.ok("prefetch");
    const fetched = world.mirror.count("/pool/main/tool_3_all.deb");
    expect(fetched).toBe(1);
    await world.ok("upgrade");
    expect(world.mirror.count("/pool/main/tool_3_all.deb")).toBe(1);
    expect((await world.next()).layered).toMatchObject([{ version: "3" }]);
  });

  test("a package that the new base brings itself is no longer layered, and is kept in the origin", async () => {
    const { ref } = testBase();
    const script = `set -e; mkdir /sysroot/new; cd /sysroot/new; ostree checkout --repo=/sysroot/ostree/repo -H ${ref} tree
      dpkg=tree/usr/lib/sysimage/dpkg; cp -r $dpkg dpkg; rm -r $dpkg; mv dpkg $dpkg; echo /. > $dpkg/info/tool.list; : > $dpkg/info/tool.md5sums
      printf 'Package: tool\\nStatus: install ok installed\\nMaintainer: t\\nArchitecture: all\\nVersion: 3\\nDescription: t\\n\\n' >> $dpkg/status
      ostree commit --repo=/sysroot/ostree/repo --branch=${ref} --tree=dir=tree -I --add-metadata-string=version=15 --add-metadata=ostree.bootable=true
      rm -r /sysroot/new`;
    await world.host.exec("sh", ["-c", script]);
    await world.ok("upgrade");
    expect(await world.next()).toMatchObject({ version: "15", layered: [], origin: { requested: ["tool"], inactive: ["tool"] } });
    await world.expectSound();
  });
});
