/** Requests that cannot be fulfilled: each a typed error that names the thing, with the old state intact and the next request served. */
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { World } from "../harness/world.ts";

const TOOL = { name: "tool", version: "1", files: { "/usr/share/tool": "tool 1\n" } };
const TOOL_PATH = "/pool/main/tool_1_all.deb";
const PLUS = { name: "tool++", version: "1", files: { "/usr/share/toolpp": "x" } };

describe("a request", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-requests", { config: { stallTimeoutSeconds: 1, keepLayers: 0 } });
    await world.offer(
      TOOL,
      PLUS,
      { name: "needy", version: "1", depends: "missing-one (>= 2)", files: { "/usr/share/needy": "x" } },
      { name: "hostile", version: "1", conflicts: "netbase", files: { "/usr/share/hostile": "x" } },
      { name: "newer", version: "1", depends: "netbase (>= 99)", files: { "/usr/share/newer": "x" } },
      { name: "netbase", version: "99", files: { "/usr/share/netbase99": "x" } },
    );
  });
  beforeEach(() => world.reset());
  afterAll(() => world?.close());

  test("for unknown packages lists all of them", async () => {
    await world.failing(["install", "nonesuch", "tool", "neverwas"], {
      code: "UnknownPackage",
      message: /neverwas.*nonesuch/,
      details: { packages: ["neverwas", "nonesuch"] },
    });
  });

  test("for what cannot be satisfied passes on apt's reason", async () => {
    await world.failing(["install", "needy"], { code: "Unsatisfiable", message: /needy.*missing-one/ });
  });

  test("that would remove or replace a package of the base is refused with the list", async () => {
    await world.failing(["install", "hostile"], { code: "ProtectedPackage", message: /remove netbase/, details: { removed: ["netbase"] } });
    await world.failing(["install", "newer"], { code: "ProtectedPackage", message: /upgrade netbase/, details: { upgraded: ["netbase"] } });
  });

  test("to uninstall what is not requested, or is part of the base, is refused by name", async () => {
    await world.failing(["uninstall", "tool"], { code: "NotInstalled", message: /tool/, details: { packages: ["tool"] } });
    await world.failing(["uninstall", "netbase", "tool"], { code: "ProtectedPackage", message: /netbase/, details: { packages: ["netbase"] } });
    await world.ok("uninstall", "--idempotent", "tool");
  });

  test("to roll back where there is nothing to go back to is refused", async () => {
    await world.failing(["rollback"], { code: "NotFound", message: /there is no other deployment/ });
  });

  test("with a name that looks like an option never reaches apt, from the command line or the bus", async () => {
    const before = await world.state();
    const { latest } = { latest: (await world.withClient((client) => client.transactions(1)))[0]?.id };
    for (const name of ["-oDir::Bin::dpkg=/tmp/x", "--", "-y", "--allow-remove-essential", "", "a b", "x;y", "tool[ab]", "tool*=1", "tool\n"]) {
      const said = await world.cli("install", "--", name);
      expect({ name, status: said.status, stderr: said.stderr }).toMatchObject({ status: 2, stderr: expect.stringMatching(/^error: cannot use /) });
      const call = ["call", "org.debian.aptostree1", "/org/debian/aptostree1", "org.debian.aptostree1", "Install", "as", "1", name];
      const onBus = await exec("busctl", [`--address=${world.host.bus}`, "--", ...call], { okStatuses: [0, 1] });
      expect(onBus).toMatchObject({ status: 1, stderr: expect.stringContaining("cannot use ") });
    }
    expect((await world.withClient((client) => client.transactions(1)))[0]?.id).toBe(latest);
    await world.expectUnchanged(before);
  });

  test("never removes or installs by a sign after the name, and takes names that end so", async () => {
    await world.failing(["install", "tool", "netbase-"], { code: "UnknownPackage", message: /netbase-/ });
    await world.failing(["install", "tool+"], { code: "UnknownPackage", message: /tool\+/ });
    await world.failing(["install", "tool-"], { code: "UnknownPackage", message: /tool-/ });
    await world.ok("install", "tool++");
    expect((await world.next()).layered).toMatchObject([{ name: "tool++" }]);
  });

  describe("when the mirror fails it", () => {
    beforeEach(() => exec("sh", ["-c", 'rm -f "$1"/tool*.deb', "sh", join(world.host.layout.stateVar, "lib/apt-ostree/archives")]));
    afterEach(() => world.mirror.clearFaults());

    test("by wrong bytes is VerificationFailed", async () => {
      world.mirror.fault(TOOL_PATH, { kind: "wrongBytes" });
      await world.failing(["install", "tool"], { code: "VerificationFailed", message: /tool_1_all\.deb/ });
    });

    test("by errors is DownloadFailed, and once they are over the install succeeds", async () => {
      world.mirror.fault(TOOL_PATH, { kind: "status", status: 403 });
      await world.failing(["install", "tool"], { code: "DownloadFailed", message: /tool_1_all\.deb/ });
      world.mirror.clearFaults();
      world.mirror.fault(TOOL_PATH, { kind: "cut", afterBytes: 100 }, 1);
      world.mirror.fault(TOOL_PATH, { kind: "stall", afterBytes: 50 }, 1);
      await world.ok("install", "tool");
    });

    test("by an archive that its own lists still name is DownloadFailed", async () => {
      world.mirror.fault(TOOL_PATH, { kind: "status", status: 404 });
      await world.failing(["install", "tool"], { code: "DownloadFailed", message: /gone from its source/ });
    });

    test("by refusing connections is DownloadFailed that names the address", async () => {
      const etc = join(await world.host.bootedDeployment(), "etc/apt/sources.list.d");
      await rename(join(etc, "test.sources"), join(etc, "test.off"));
      await writeFile(join(etc, "dead.sources"), "Types: deb\nURIs: http://127.0.0.1:9/\nSuites: test\nComponents: main\nTrusted: yes\n");
      try {
        await world.failing(["refresh-md"], { code: "DownloadFailed", message: /127\.0\.0\.1:9/ });
      } finally {
        await rm(join(etc, "dead.sources"));
        await rename(join(etc, "test.off"), join(etc, "test.sources"));
      }
      expect(await readdir(etc)).toEqual(["test.sources"]);
      await world.ok("install", "tool");
    });

    test("by having a newer version than the lists know, refreshes them once and installs that", async () => {
      await world.publish({ ...TOOL, version: "2", files: { "/usr/share/tool": "tool 2\n" } }, PLUS);
      const said = await world.ok("install", "tool");
      expect(said).toContain("refreshing the package lists and planning again");
      expect((await world.next()).layered).toMatchObject([{ name: "tool", version: "2" }]);
    });
  });
});
