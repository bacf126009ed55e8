/** What a deployment holds depends on what is layered on which base, and on nothing that came before. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DebOptions } from "../harness/debs.ts";
import { Random } from "../harness/random.ts";
import { World } from "../harness/world.ts";

/** A package with an account, a configuration file, files of its account's, and state that its script makes. */
function daemonPackage(name: string): DebOptions {
  return {
    name,
    version: "1",
    depends: "common",
    files: { [`/usr/bin/${name}`]: `#!/bin/sh\necho ${name}\n`, [`/etc/${name}.conf`]: `user=${name}\n`, [`/usr/lib/${name}/data`]: "data\n" },
    conffiles: [`/etc/${name}.conf`],
    scripts: {
      postinst: `adduser --system --group --home /var/lib/${name} ${name} >/dev/null
        chown -R ${name}:${name} /usr/lib/${name}; echo "made for ${name}" > /etc/${name}.generated; echo state > /var/lib/${name}/state`,
    },
  };
}

const NAMES = ["alpha", "beta", "gamma"];
const COMMON = {
  name: "common",
  version: "1",
  files: { "/usr/share/common": "common\n" },
  scripts: { postinst: "echo common >> /etc/common.generated" },
};
const STEPS = 6;
/** Each of a dozen transactions of a test may take its time on a busy machine. */
const TIMEOUT_MS = 300_000;

describe("the tree of a deployment", { timeout: TIMEOUT_MS }, () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-sequences", { config: { keepLayers: 0 } });
    await world.offer(COMMON, ...NAMES.map(daemonPackage));
  });
  beforeEach(() => world.reset());
  afterAll(() => world?.close());

  /** The checksums of a commit's root: directory tree and its metadata (ostree-ls(1)). */
  async function treeOf(commit: string): Promise<string> {
    const { stdout } = await world.host.exec("ostree", ["--repo=/sysroot/ostree/repo", "ls", "-d", "-C", commit, "/"]);
    return /[0-9a-f]{64} [0-9a-f]{64}/.exec(stdout)?.[0] ?? expect.fail(`no checksum in ${stdout}`);
  }

  /** The tree of the next deployment, whose layer must have been assembled and not remembered. */
  async function assembledTree(): Promise<string> {
    const assembling = (await world.latest()).result?.timings.find(({ stage }) => stage === "assembling");
    expect(assembling?.cached, "the layer was remembered").toBe(false);
    return await treeOf((await world.next()).commit);
  }

  /** Back to the bare base, with no layer remembered. */
  async function forget(): Promise<void> {
    await world.ok("cleanup", "--pending");
  }

  async function treeOfSteps(...steps: readonly (readonly string[])[]): Promise<string> {
    for (const step of steps) await world.ok(...step);
    const tree = await assembledTree();
    await world.expectClean();
    await forget();
    return tree;
  }

  test("is the same in whatever order, and however many at a time, its packages were asked for", async () => {
    const together = await treeOfSteps(["install", "alpha", "beta"]);
    expect(await treeOfSteps(["install", "alpha"], ["install", "beta"])).toBe(together);
    expect(await treeOfSteps(["install", "beta"], ["install", "alpha"])).toBe(together);
    expect(await treeOfSteps(["install", "beta", "gamma"], ["install", "alpha"], ["uninstall", "gamma"])).toBe(together);
    await world.expectSound();
  });

  test("is the same when the same plan is built again, whatever was written on the host meanwhile", async () => {
    const tree = await treeOfSteps(["install", "alpha"]);
    const etc = join(await world.host.bootedDeployment(), "etc");
    await writeFile(join(etc, "alpha.conf"), "user=somebody\n");
    await writeFile(join(etc, "alpha.generated"), "edited\n");
    expect(await treeOfSteps(["install", "alpha"])).toBe(tree);
  });

  test("is the base's own once everything is uninstalled", async () => {
    const base = (await world.next()).commit;
    await world.ok("install", "alpha", "beta");
    await world.ok("uninstall", "beta");
    await world.ok("uninstall", "alpha");
    expect(await world.next()).toMatchObject({ commit: base, layered: [] });
    await world.expectSound();
  });

  test.each([1, 2])("depends on nothing but what is layered, in a random sequence of changes (seed %i)", async (seed) => {
    const random = new Random("sequences", seed);
    const trees = new Map<string, string>();
    const layered = new Set<string>();
    for (let step = 0; step < STEPS; step++) {
      const name = random.pick(NAMES);
      const verb = layered.has(name) ? "uninstall" : "install";
      await world.ok(verb, name);
      if (verb === "install") layered.add(name);
      else layered.delete(name);
      const next = await world.next();
      expect(next.origin.requested).toEqual([...layered].sort());
      const key = next.origin.requested.join();
      const tree = await treeOf(next.commit);
      expect(trees.get(key) ?? tree, `${key} at step ${step}`).toBe(tree);
      trees.set(key, tree);
      await world.ok("cleanup", "--repomd");
    }
    await world.expectSound();
  });

  test("after an upgrade of the base is that of the same packages layered on the new base", async () => {
    await world.ok("install", "alpha");
    await world.publishBase("next");
    await world.ok("upgrade");
    const upgraded = await assembledTree();
    await world.ok("uninstall", "alpha");
    await world.ok("cleanup", "--repomd");
    await world.ok("install", "alpha");
    expect(await assembledTree()).toBe(upgraded);
    await world.expectSound();
  });
});
