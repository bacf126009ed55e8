/** The main job: packages layered onto the base, from the command line to the next boot and back. */
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { machineArchitecture, makeDeb, makeRepository } from "../harness/debs.ts";
import { testBase } from "../harness/host.ts";
import { World } from "../harness/world.ts";

const TOOL = {
  name: "tool",
  version: "1.0",
  depends: "tool-data (>= 1)",
  files: { "/usr/bin/tool": "#!/bin/sh\ncat /usr/share/tool/data\n", "/etc/tool.conf": "colour=blue\n" },
  conffiles: ["/etc/tool.conf"],
};
const DATA = { name: "tool-data", version: "1.0", files: { "/usr/share/tool/data": "data 1.0\n" } };
const EXTRA = { name: "extra", version: "1", files: { "/usr/share/extra": "extra\n" } };
const TOOL_ARCHIVE = "/pool/main/tool_1.0_all.deb";

describe("layering packages", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-layering");
    await world.offer(TOOL, DATA, EXTRA);
  });
  afterAll(() => world?.close());

  test("install stages a deployment that holds the package and its dependency, and leaves the booted tree alone", async () => {
    const booted = await world.host.bootedDeployment();
    const said = await world.ok("install", "tool");
    expect(said).toMatch(/tool-data/);
    const next = await world.next();
    expect(next).toMatchObject({ staged: true, origin: { refspec: testBase().ref, requested: ["tool"], inactive: [] } });
    expect(next.layered.map((p) => `${p.name} ${p.version}`)).toEqual(["tool 1.0", "tool-data 1.0"]);
    expect(next.origin.transaction).toBe((await world.latest()).id);
    expect(await readFile(`${next.directory}.origin`, "utf8").catch(() => "staged")).toBeTruthy();
    expect(await readFile(join(next.directory, "usr/share/tool/data"), "utf8")).toBe("data 1.0\n");
    expect(await readFile(join(next.directory, "usr/etc/tool.conf"), "utf8")).toBe("colour=blue\n");
    expect(await world.packagesIn(next.directory, "tool", "tool-data")).toEqual({ tool: "ii 1.0", "tool-data": "ii 1.0" });
    expect(existsSync(join(booted, "usr/bin/tool"))).toBe(false);
    expect(await world.packagesIn(booted, "tool")).toEqual({ tool: "absent" });
    await world.expectClean();
    await world.expectSound();
  });

  test("a request that is satisfied already changes nothing, with status 77 if that is asked for", async () => {
    const before = await world.state();
    await world.ok("install", "tool");
    expect((await world.cli("install", "--unchanged-exit-77", "tool")).status).toBe(77);
    await world.expectUnchanged(before);
  });

  test("a package of the base is kept in the origin of a later deployment only if there is something to layer, and is never installed twice", async () => {
    const said = await world.cli("install", "--unchanged-exit-77", "dbus");
    expect(said.status).toBe(77);
    expect(said.stdout).toContain("the base already has dbus");
  });

  test("rollback drops what is staged", async () => {
    await world.ok("rollback");
    expect(await world.deployments()).toMatchObject([{ booted: true, origin: { requested: [] } }]);
    await world.expectClean();
  });

  test("the same install again takes the remembered layer and downloads nothing", async () => {
    const asked = world.mirror.requests.length;
    await world.ok("install", "tool");
    const timings = (await world.latest()).result?.timings ?? [];
    expect(timings.find((t) => t.stage === "assembling")?.cached).toBe(true);
    expect(world.mirror.requests.length).toBe(asked);
    expect((await world.next()).layered.map((p) => p.name)).toEqual(["tool", "tool-data"]);
  });

  test("after a reboot the program is there, what was edited in /etc meanwhile is kept, and what was deleted stays so", async () => {
    const booted = await world.host.bootedDeployment();
    await writeFile(join(booted, "etc/mark"), "edited\n");
    await rm(join(booted, "etc/issue.net"));
    await world.host.reboot();
    expect((await world.host.exec("tool")).stdout).toBe("data 1.0\n");
    expect((await world.host.exec("cat", ["/etc/tool.conf", "/etc/mark"])).stdout).toBe("colour=blue\nedited\n");
    expect(existsSync(join(await world.host.bootedDeployment(), "etc/issue.net"))).toBe(false);
    expect((await world.host.exec("dpkg-query", ["-W", "tool"])).stdout).toBe("tool\t1.0\n");
    const [booted2, old] = await world.deployments();
    expect([booted2, old]).toMatchObject([
      { booted: true, origin: { requested: ["tool"] } },
      { rollback: true, origin: { requested: [] } },
    ]);
  });

  test("install adds to what is layered, and keeps the configuration file of a package that a person edited", async () => {
    await writeFile(join(await world.host.bootedDeployment(), "etc/tool.conf"), "colour=red\n");
    await world.ok("install", "extra");
    expect(await world.next()).toMatchObject({ origin: { requested: ["extra", "tool"] } });
    await world.host.reboot();
    expect((await world.host.exec("cat", ["/etc/tool.conf", "/usr/share/extra"])).stdout).toBe("colour=red\nextra\n");
    expect((await world.host.exec("tool")).stdout).toBe("data 1.0\n");
  });

  test("uninstall builds the deployment anew from the base, without what only the removed package needed", async () => {
    await world.ok("uninstall", "tool");
    const next = await world.next();
    expect(next.origin.requested).toEqual(["extra"]);
    expect(next.layered.map((p) => p.name)).toEqual(["extra"]);
    expect(await world.packagesIn(next.directory, "tool", "tool-data", "extra")).toEqual({ tool: "absent", "tool-data": "absent", extra: "ii 1" });
    await world.ok("uninstall", "extra");
    const bare = await world.next();
    expect(bare).toMatchObject({ layered: [], origin: { requested: [], refspec: testBase().ref } });
    expect(bare.commit).toBe(bare.origin.baseCommit);
    await world.expectSound();
  });

  test("rollback of what is booted makes the deployment behind it the default, and once more undoes that", async () => {
    await world.ok("cleanup", "--pending");
    const [booted, behind] = await world.deployments();
    await world.ok("rollback");
    expect((await world.deployments()).map((d) => d.id)).toEqual([behind?.id, booted?.id]);
    expect(await world.host.defaultDeployment()).toBe(world.directoryOf(behind ?? expect.fail()));
    await world.ok("rollback");
    expect((await world.deployments()).map((d) => d.id)).toEqual([booted?.id, behind?.id]);
    await world.ok("rollback");
    await world.host.reboot();
    expect(await world.deployments()).toMatchObject([
      { booted: true, origin: { requested: ["tool"] } },
      { origin: { requested: ["extra", "tool"] } },
    ]);
    expect((await world.host.exec("tool")).stdout).toBe("data 1.0\n");
  });

  test("a source that is a directory of the host is read and copied from", async () => {
    const deb = await makeDeb(join(world.host.layout.repos, "debs"), {
      name: "local-tool",
      version: "1",
      files: { "/usr/share/local-tool": "local\n" },
    });
    const repository = await makeRepository(join(world.host.layout.repos, "local"), [deb]);
    await world.host.addSource("local", repository.sourceFor("file:/run/sandbox/repos/local"));
    await world.ok("refresh-md");
    await world.ok("install", "local-tool");
    expect(await readFile(join((await world.next()).directory, "usr/share/local-tool"), "utf8")).toBe("local\n");
    await world.ok("rollback");
  });

  test("the host's own apt settings decide what is planned and what is installed alike", async () => {
    await world.offer(TOOL, DATA, EXTRA, { name: "wishes", version: "1", files: { "/usr/share/wishes": "w" }, recommends: "extra" });
    const settings = join(await world.host.bootedDeployment(), "etc/apt/apt.conf.d/99wishes");
    const layered = async (): Promise<string[]> => (await world.next()).layered.map((p) => p.name).filter((name) => /extra|wishes/.test(name));
    await world.ok("install", "wishes");
    expect(await layered()).toEqual(["extra", "wishes"]);
    await world.ok("rollback");
    await writeFile(settings, 'APT::Install-Recommends "false";\n');
    await world.ok("install", "wishes");
    expect(await layered()).toEqual(["wishes"]);
    await world.ok("rollback");
  });

  test("a version or an architecture of a package of the base is not the package of the base", async () => {
    for (const spec of ["bash=99:1", "bash:riscv64"]) expect((await world.cli("install", spec)).status, spec).toBe(1);
    expect((await world.cli("install", `bash:${machineArchitecture()}`)).stdout).toContain("the base already has bash:");
    await world.ok("cleanup", "--pending");
  });

  test("cleanup removes what it is told to: the pending and the rollback deployment, lists, archives and what nothing uses", async () => {
    await world.ok("install", "extra");
    await world.ok("cleanup", "--pending");
    expect((await world.deployments()).map((d) => d.booted)).toEqual([true, false]);
    await world.ok("cleanup", "--rollback");
    expect((await world.deployments()).map((d) => d.booted)).toEqual([true]);
    expect((await world.host.exec("sh", ["-c", "ls /var/lib/apt-ostree/archives/*.deb"])).stdout).toContain("tool_1.0_all.deb");
    await world.ok("cleanup", "--base", "--repomd");
    expect((await world.host.exec("sh", ["-c", "ls /var/lib/apt-ostree/archives/*.deb 2>/dev/null || true"])).stdout).toBe("");
    expect((await world.host.exec("tool")).stdout).toBe("data 1.0\n");
    await world.expectSound();
    const { status, stderr } = await world.cli("cleanup");
    expect({ status, stderr }).toMatchObject({ status: 2, stderr: expect.stringContaining("cannot clean up") });
  });

  test("a prefetched package is not downloaded again by its install", async () => {
    await world.ok("refresh-md");
    await world.ok("uninstall", "tool");
    await world.ok("cleanup", "--pending", "--base");
    await world.offer({ ...TOOL, version: "1.1" }, DATA, EXTRA, { name: "later", version: "1", files: { "/usr/share/later": "later" } });
    await world.ok("prefetch", "later");
    const asked = world.mirror.requests.length;
    expect(world.mirror.count("/pool/main/later_1_all.deb")).toBe(1);
    await world.ok("install", "later");
    expect(world.mirror.requests.slice(asked).map((r) => r.path)).toEqual([]);
    expect(world.mirror.count(TOOL_ARCHIVE)).toBeLessThanOrEqual(2);
  });
});
