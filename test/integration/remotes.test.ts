/** Many questions about remotes at once, against a real repository. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { Remotes } from "../../src/engines/ostree/remotes.ts";
import { resolvePaths } from "../../src/engines/paths.ts";

let root: string;
let remotes: Remotes;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "remotes-"));
  const repo = join(root, "ostree/repo");
  await mkdir(repo, { recursive: true });
  await exec("ostree", ["init", `--repo=${repo}`, "--mode=bare"]);
  for (const name of ["other", "debian"])
    await exec("ostree", ["remote", "add", `--repo=${repo}`, "--no-gpg-verify", name, `http://127.0.0.1/${name}`]);
  remotes = new Remotes(await resolvePaths(root, join(root, "state")));
});
afterEach(() => rm(root, { recursive: true }));

/** How each of many questions that are asked at once ends: "answered", or with which error. */
async function endsOf(question: () => Promise<unknown>): Promise<Record<string, number>> {
  const codes = await Promise.all(
    Array.from({ length: 100 }, () =>
      question().then(
        () => "answered",
        (error: unknown) => (error as { code: string }).code,
      ),
    ),
  );
  return Object.fromEntries([...new Set(codes)].map((code) => [code, codes.filter((one) => one === code).length]));
}

test("the lists that wait are bounded, and changes do not wait behind them", async () => {
  expect((await remotes.list()).map(({ name, url }) => [name, url])).toEqual([
    ["debian", "http://127.0.0.1/debian"],
    ["other", "http://127.0.0.1/other"],
  ]);
  const [ends] = await Promise.all([endsOf(() => remotes.list()), remotes.modify("other", { branches: ["a/b"] })]);
  expect(ends).toEqual({ answered: 66, Busy: 34 });
  expect((await remotes.list()).find(({ name }) => name === "other")).toMatchObject({ branches: ["a/b"] });
});

test("the questions to remotes that wait are bounded, and lists do not wait behind them", async () => {
  const [ends, list] = await Promise.all([endsOf(() => remotes.refs("gone")), remotes.list()]);
  expect(ends).toEqual({ NotFound: 72, Busy: 28 });
  expect(list).toHaveLength(2);
});
