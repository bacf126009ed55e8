/** Base trees that cannot be checked out. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { BaseTrees } from "../../src/engines/ostree/base.ts";
import { resolvePaths } from "../../src/engines/paths.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "base-"));
});
afterEach(() => rm(root, { recursive: true }));

test("a base whose checkout fails leaves nothing behind", async () => {
  const repo = join(root, "ostree/repo");
  await mkdir(join(root, "tree"));
  for (const name of ["a", "b", "c"]) await writeFile(join(root, "tree", name), name);
  await mkdir(repo, { recursive: true });
  await exec("ostree", ["init", `--repo=${repo}`, "--mode=bare"]);
  const { stdout } = await exec("ostree", ["commit", `--repo=${repo}`, "--branch=base", `--tree=dir=${join(root, "tree")}`]);
  const { stdout: listing } = await exec("ostree", ["ls", `--repo=${repo}`, "-C", "base", "/c"]);
  const object = /[0-9a-f]{64}/.exec(listing)?.[0] ?? "";
  await rm(join(repo, "objects", object.slice(0, 2), `${object.slice(2)}.file`));
  const paths = await resolvePaths(root, join(root, "state"));
  await expect(new BaseTrees(paths).ensure(stdout.trim())).rejects.toThrow(/cannot check out base/);
  expect(await readdir(paths.bases)).toEqual([]);
});
