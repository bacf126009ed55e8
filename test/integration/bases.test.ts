/** The treefiles in bases/: each can be read, and apt knows all that it names and could install it. Their composes take minutes, and are made by hand. */
import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readInputs } from "../../src/compose/inputs.ts";
import { resolveTree } from "../../src/compose/tree.ts";
import { removeTree } from "../../src/engines/tree.ts";

const BASES = join(import.meta.dirname, "../../bases");

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "bases-"));
});
afterAll(() => removeTree(directory));

describe("the bases", { timeout: 300_000 }, () => {
  it("are a server and a desktop, both on what they have in common", async () => {
    expect((await readdir(BASES)).sort()).toEqual(["common.yaml", "desktop.yaml", "server.yaml"]);
    for (const [name, own] of [
      ["server", "openssh-server"],
      ["desktop", "gnome-shell"],
    ]) {
      const inputs = await readInputs(join(BASES, `${name}.yaml`));
      expect(inputs.ref).toMatch(new RegExp(`^debian/13/[a-z0-9]+/${name}$`));
      expect(inputs.packages).toEqual(expect.arrayContaining([own, "systemd", "ostree-boot", "dracut", "bubblewrap", "nodejs"]));
      expect(inputs.packages.some((one) => one.startsWith("linux-image-"))).toBe(true);
      expect(inputs.treefile.debconf.map(({ question }) => question)).toContain("locales/locales_to_be_generated");
      expect(inputs.treefile.units.mask).toContain("apt-daily.timer");
    }
  });

  it.each(["server", "desktop"])("%s is of packages that apt can install together", async (name) => {
    const treefile = join(BASES, `${name}.yaml`);
    const packages = await resolveTree({ treefile, repo: join(directory, "repo") });
    const names = new Set(packages.map((one) => one.name));
    for (const wanted of (await readInputs(treefile)).packages) expect(names, wanted).toContain(wanted);
    expect(names).toContain("dpkg");
    expect(await readdir(join(directory, "repo/refs/heads"))).toEqual([]);
  });
});

describe("a treefile that includes others", () => {
  const written = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text);
    return join(directory, name);
  };

  it("adds to their lists and has the last word, and the files that each names are beside it", async () => {
    await written("a.sh", "echo a\n");
    await written(
      "a.yaml",
      'suite: trixie\nversion: "1"\npackages: [a-one, both]\nadd-files: [{path: /etc/a, from: a.sh}]\ndebconf: a b/c string 1\n',
    );
    const top = await written("top.yaml", 'include: [a.yaml]\nref: x\nversion: "2"\npackages: [both, b-one]\ndebconf: a b/c string 2\n');
    const { treefile, packages, files, digest } = await readInputs(top);
    expect(treefile).toMatchObject({ suite: "trixie", ref: "x", version: "2" });
    expect(packages).toEqual(["a-one", "both", "b-one"]);
    expect(files.map(({ path, content }) => [path, content.toString()])).toEqual([["/etc/a", "echo a\n"]]);
    expect(treefile.debconf.map(({ value }) => value)).toEqual(["1", "2"]);
    await written("a.sh", "echo changed\n");
    expect((await readInputs(top)).digest).not.toBe(digest);
  });

  it("is refused where it includes itself, what is not there, or is not whole", async () => {
    const loop = await written("loop.yaml", "include: [loop2.yaml]\n");
    await written("loop2.yaml", "include: [loop.yaml]\n");
    await expect(readInputs(loop)).rejects.toMatchObject({ code: "ConfigInvalid", message: expect.stringContaining("includes itself") });
    await expect(readInputs(await written("absent.yaml", "include: [nothing.yaml]\n"))).rejects.toMatchObject({
      code: "ConfigInvalid",
      message: expect.stringContaining("nothing.yaml"),
    });
    await expect(readInputs(join(BASES, "common.yaml"))).rejects.toMatchObject({
      code: "ConfigInvalid",
      message: expect.stringContaining("the key ref is missing"),
    });
  });
});
