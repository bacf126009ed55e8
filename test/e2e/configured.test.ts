/** What an administrator configures on the host and a layer obeys: answers to debconf, foreign architectures, pins, holds, suites. */
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { lintCommit } from "../../src/compose/lint/command.ts";
import { exec } from "../../src/engines/exec.ts";
import { type DebOptions, machineArchitecture, makeDeb, makeRepository } from "../harness/debs.ts";
import { testBase } from "../harness/host.ts";
import { World } from "../harness/world.ts";

const ASKER: DebOptions = {
  name: "asker",
  version: "1",
  files: { "/usr/share/asker/shipped": "x" },
  templates: `Template: asker/colour
Type: string
Default: none
Description: Colour?

Template: asker/secret
Type: password
Description: Secret?
`,
  scripts: {
    config: ". /usr/share/debconf/confmodule\ndb_input high asker/colour || true\ndb_input high asker/secret || true\ndb_go || true",
    postinst: `. /usr/share/debconf/confmodule
db_get asker/colour; echo "$RET" > /usr/share/asker/colour
db_get asker/secret; printf %s "$RET" | sha256sum | cut -c1-8 > /usr/share/asker/secret`,
  },
};
const plain = (name: string, more: Partial<DebOptions> = {}): DebOptions => ({
  name,
  version: "1",
  files: { [`/usr/share/${name}`]: `${more.version ?? "1"} ${more.architecture ?? "all"}` },
  ...more,
});
const FOREIGN = machineArchitecture() === "i386" ? "amd64" : "i386";

describe("a layer obeys", () => {
  let world: World;
  let etc = "";
  const written: string[] = [];
  beforeAll(async () => {
    world = await World.make("e2e-configured");
  });
  beforeEach(async () => {
    etc = join(await world.host.bootedDeployment(), "etc");
    for (const path of written.splice(0)) await rm(path, { force: true });
    await world.reset();
    etc = join(await world.host.bootedDeployment(), "etc");
  });
  afterAll(() => world?.close());

  /** Writes a file of the running system's /etc; the next test begins without it. */
  async function configure(path: string, text: string): Promise<void> {
    const file = join(etc, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    written.push(file);
  }

  const inNext = async (path: string): Promise<string> => (await readFile(join((await world.next()).directory, path), "utf8")).trim();

  /** The host's configuration is not in the tree of the next deployment. */
  async function expectOwn(path: string): Promise<void> {
    await expect(stat(join((await world.next()).directory, "usr/etc", path))).rejects.toThrow(/ENOENT/);
  }

  test("the answers to debconf, makes a new layer when they change, and keeps passwords and the answers' file out of it", async () => {
    await world.offer(ASKER);
    await world.ok("install", "asker");
    expect(await inNext("usr/share/asker/colour")).toBe("none");
    await configure("apt-ostree/debconf.conf", "# ours\nasker asker/colour string deep blue\nasker asker/secret password geheim-4711\n");
    await world.ok("upgrade");
    expect(await inNext("usr/share/asker/colour")).toBe("deep blue");
    expect(await inNext("usr/share/asker/secret")).toBe("bc707789");
    const { directory, commit } = await world.next();
    const { stdout } = await exec("grep", ["-rl", "geheim-4711", join(directory, "usr")], { okStatuses: [0, 1] });
    expect(stdout).toBe("");
    expect(await readFile(join(directory, "usr/lib/sysimage/var/cache/debconf/config.dat"), "utf8")).toContain("deep blue");
    await expectOwn("apt-ostree/debconf.conf");
    expect((await lintCommit(join(world.host.layout.sysroot, "ostree/repo"), commit)).findings).toEqual([]);
    expect(await world.ok("upgrade")).toMatch(/up to date/);
    await world.ok("uninstall", "asker");
    await world.ok("install", "asker");
    expect((await world.next()).commit).toBe(commit);
    await world.expectClean();
    await world.expectSound();
  });

  test("a broken answer by refusing, with file and line and without the answer", async () => {
    await world.offer(ASKER);
    await configure("apt-ostree/debconf.conf", "# ours\nasker asker/secret passwort geheim-4711\n");
    const { error } = await world.failing(["install", "asker"], {
      code: "ConfigInvalid",
      message: /\/etc\/apt-ostree\/debconf\.conf:2: "passwort" is not a type/,
      details: { line: 2 },
    });
    expect(JSON.stringify(error)).not.toContain("geheim-4711");
  });

  test("the architectures that apt is configured for: dpkg knows those that it needs, and no others", async () => {
    await world.offer(plain("other", { architecture: FOREIGN }), plain("native"));
    await world.failing(["install", `other:${FOREIGN}`], { code: "UnknownPackage", message: /other/ });
    await configure("apt/apt.conf.d/50architectures", `APT::Architectures { "${machineArchitecture()}"; "${FOREIGN}"; };\n`);
    await world.ok("refresh-md");
    const architectures = async (): Promise<string> =>
      (
        await exec("dpkg", [`--admindir=${join((await world.next()).directory, "usr/lib/sysimage/dpkg")}`, "--print-foreign-architectures"])
      ).stdout.trim();
    await world.ok("install", "native");
    expect(await architectures()).toBe("");
    await world.ok("install", `other:${FOREIGN}`);
    expect(await inNext("usr/share/other")).toBe(`1 ${FOREIGN}`);
    expect(await architectures()).toBe(FOREIGN);
    await world.expectSound();
    await world.ok("uninstall", "other");
    expect(await architectures()).toBe("");
    await world.expectClean();
  });

  test("a foreign architecture of the base", async () => {
    const base = await rebase(world, `printf '${machineArchitecture()}\\n${FOREIGN}\\n' > $d/usr/lib/sysimage/dpkg/arch`);
    await world.offer(plain("other", { architecture: FOREIGN }));
    await world.ok("upgrade");
    // The base from before chose the lists of the upgrade; dpkg(1) asks for a new update after an architecture was added, too.
    await world.ok("refresh-md");
    await world.ok("install", `other:${FOREIGN}`);
    expect((await world.next()).origin.baseCommit).toBe(base);
    expect(await inNext("usr/share/other")).toBe(`1 ${FOREIGN}`);
  });

  test("pins", async () => {
    await world.offer(plain("pinned", { version: "1" }), plain("pinned", { version: "2" }), plain("user", { depends: "pinned" }));
    await configure("apt/preferences.d/ours", "Package: pinned\nPin: version 1\nPin-Priority: 1001\n");
    await world.ok("install", "user");
    expect(await inNext("usr/share/pinned")).toBe("1 all");
    await expectOwn("apt/preferences.d/ours");
    await rm(join(etc, "apt/preferences.d/ours"));
    await world.ok("upgrade");
    expect(await inNext("usr/share/pinned")).toBe("2 all");
    await configure("apt/preferences.d/ours", "Package: pinned\nPin: release *\nPin-Priority: -1\n");
    await world.failing(["upgrade"], { code: "Unsatisfiable", message: /pinned/ });
  });

  test("holds of the base: what is held stays, also where a request would have it changed, and the hold goes on", async () => {
    await rebase(world, "sed -i '/^Package: attr$/,/^$/s/install ok installed/hold ok installed/' $d/usr/lib/sysimage/dpkg/status");
    await world.offer(
      plain("attr", { version: "99:1", architecture: machineArchitecture() }),
      plain("wants", { depends: "attr (>= 99:1)" }),
      plain("fine"),
    );
    await world.ok("upgrade");
    await world.failing(["install", "wants"], { code: "Unsatisfiable", message: /attr/ });
    await world.ok("install", "fine");
    const { directory } = await world.next();
    expect((await world.packagesIn(directory, "attr", "fine")).attr).toMatch(/^hi /);
    expect(await inNext("usr/share/fine")).toBe("1 all");
    await world.expectClean();
  });

  test("the suite that a package is asked from, then and at each upgrade", async () => {
    const directory = join(world.host.layout.directory, "mirror/newer");
    const offerNewer = async (version: string): Promise<string> => {
      const debs = [plain("tool", { version, depends: "tool-data (>= 2)" }), plain("tool-data", { version })];
      const made = await Promise.all(debs.map((deb) => makeDeb(join(world.host.layout.directory, "newer-debs"), deb)));
      const { sourceFor } = await makeRepository(directory, made, { suite: "newer", fields: ["NotAutomatic: yes", "ButAutomaticUpgrades: yes"] });
      return sourceFor(`${world.mirror.url}/newer`);
    };
    await configure("apt/sources.list.d/newer.sources", await offerNewer("2"));
    await world.offer(plain("tool"), plain("tool-data"));
    await world.ok("install", "tool");
    expect(await inNext("usr/share/tool")).toBe("1 all");
    await world.failing(["install", "tool/nowhere"], { code: "UnknownPackage", message: /nowhere/ });
    await world.ok("install", "tool/newer");
    expect(await inNext("usr/share/tool")).toBe("2 all");
    expect(await inNext("usr/share/tool-data")).toBe("2 all");
    expect((await world.next()).origin.requested).toEqual(["tool/newer"]);
    await offerNewer("3");
    await world.ok("upgrade");
    expect(await inNext("usr/share/tool")).toBe("3 all");
    await world.ok("install", "tool/test");
    expect(await inNext("usr/share/tool")).toBe("1 all");
    await world.expectClean();
    await world.expectSound();
  });
});

/** Publishes a base that a shell script has changed: `$d` has copies of dpkg's files. Its commit. */
async function rebase(world: World, change: string): Promise<string> {
  const { ref } = testBase();
  const script = `set -e; d=$(mktemp -d); a=usr/lib/sysimage/dpkg; mkdir -p $d/$a; ostree cat --repo=/sysroot/ostree/repo ${ref} /$a/status > $d/$a/status; ${change}
    ostree commit --repo=/sysroot/ostree/repo --branch=${ref} --base=${ref} --tree=dir=$d --owner-uid=0 --owner-gid=0 \
      --add-metadata-string=version=changed --add-metadata=ostree.bootable=true --subject=changed; rm -r $d`;
  return (await world.host.exec("sh", ["-c", script])).stdout.trim();
}
