/** Generations of package lists: what somebody may still be reading stays. */
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { beginGeneration, finishGeneration, pruneLists } from "../../src/engines/apt/lists.ts";
import type { Paths } from "../../src/engines/paths.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const KEEP = { newest: 3, supersededWithinMs: 20 * MINUTE_MS };

let directory: string;
let paths: Paths;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lists-"));
  paths = { lists: join(directory, "lists"), aptCache: join(directory, "cache") } as Paths;
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Generations that became current so long ago, with apt's caches for them; the newest is the current one. */
function make(...agesMs: readonly number[]): string[] {
  const nowMs = Date.now();
  const names = agesMs.map((ageMs) => String(nowMs - ageMs));
  for (const name of names) {
    mkdirSync(join(paths.lists, name), { recursive: true });
    writeFileSync(join(paths.lists, name, "mirror_dists_stable_Packages"), name);
    mkdirSync(join(paths.aptCache, `${name}-c0ffee`), { recursive: true });
  }
  symlinkSync(names.at(-1) ?? "", join(paths.lists, "current"));
  return names;
}

function generations(): string[] {
  return readdirSync(paths.lists).filter((name) => /^\d+$/.test(name));
}

it("the generation that a plan began to read stays, however many changed refreshes come within that plan", async () => {
  // Current for a day until four refreshes within four minutes each found something new.
  const names = make(24 * HOUR_MS, 4 * MINUTE_MS, 3 * MINUTE_MS, 2 * MINUTE_MS, MINUTE_MS);
  await pruneLists(paths, KEEP);
  expect(generations()).toEqual(names);
  expect(readdirSync(paths.aptCache)).toHaveLength(names.length);
});

it("what was superseded long ago goes, with apt's caches for it, and what a killed refresh left", async () => {
  const names = make(9 * HOUR_MS, 8 * HOUR_MS, 3 * HOUR_MS, 2 * HOUR_MS, HOUR_MS);
  symlinkSync("1", join(paths.lists, "link-1"));
  await pruneLists(paths, KEEP);
  expect(generations()).toEqual(names.slice(-3));
  expect(readdirSync(paths.aptCache)).toEqual(names.slice(-3).map((name) => `${name}-c0ffee`));
  await pruneLists(paths, { newest: 1, supersededWithinMs: 0 });
  expect(readdirSync(paths.lists).toSorted()).toEqual([...names.slice(-1), "current"].toSorted());
});

it("the newest generation is the current one even after the clock was set back", async () => {
  const [ahead] = make(-HOUR_MS);
  const fresh = await beginGeneration(paths, "run");
  rmSync(join(fresh, "mirror_dists_stable_Packages"));
  writeFileSync(join(fresh, "mirror_dists_stable_Packages"), "news");
  const { generation, changed } = await finishGeneration(paths, fresh);
  expect(changed).toBe(true);
  expect(Number(generation)).toBeGreaterThan(Number(ahead));
  await pruneLists(paths, { newest: 1, supersededWithinMs: 0 });
  expect(readlinkSync(join(paths.lists, "current"))).toBe(generation);
  expect(generations()).toEqual([generation]);
});
