/** What is taken out of a layer before it is looked at. */
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { tidyLayer } from "../../src/engines/layer/tidy.ts";

describe("debconf's passwords", () => {
  let directory: string;
  const at = (path: string): string => join(directory, path);
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "tidy-"));
    await mkdir(at("upper"));
    await mkdir(at("var/cache"), { recursive: true });
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));
  const tidy = (): Promise<string[]> => tidyLayer({ upper: at("upper"), var: at("var") });
  const write = async (path: string): Promise<void> => {
    await mkdir(at(path), { recursive: true });
    for (const name of ["config.dat", "config.dat-old", "passwords.dat", "passwords.dat-old"]) await writeFile(at(join(path, name)), "x");
  };

  test.each(["upper/usr/lib/sysimage/var/cache/debconf", "var/cache/debconf"])("leave with their old copy, in %s", async (path) => {
    await write(path);
    await tidy();
    expect(await readdir(at(path))).toEqual(["config.dat", "config.dat-old"]);
  });

  test("leave where /var has a link to the state, and through no link that leads out of the tree", async () => {
    await write("upper/usr/lib/sysimage/var/cache/debconf");
    await symlink("../../usr/lib/sysimage/var/cache/debconf", at("var/cache/debconf"));
    await tidy();
    expect(await readdir(at("upper/usr/lib/sysimage/var/cache/debconf"))).toEqual(["config.dat", "config.dat-old"]);
    await rm(at("upper/usr/lib/sysimage"), { recursive: true });
    await write("outside/var/cache/debconf");
    await symlink(at("outside"), at("upper/usr/lib/sysimage"));
    await expect(tidy()).rejects.toMatchObject({ code: "LayerInvalid", details: { paths: ["/usr/lib/sysimage"] } });
    expect((await readdir(at("outside/var/cache/debconf"))).length).toBe(4);
  });
});
