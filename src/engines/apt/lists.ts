/**
 * Package lists in generations: a refresh fills a new directory and then moves the link `current`, so a plan that is reading a
 * generation never sees it change. A refresh that found nothing new keeps the old generation, and with it apt's warm caches.
 */
import { mkdir, readdir, readlink, rename, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../exec.ts";
import type { Paths } from "../paths.ts";
import { removeTree } from "../tree.ts";

/** The newest complete generation, or null before the first refresh. */
export async function currentLists(paths: Paths): Promise<string | null> {
  try {
    return await readlink(join(paths.lists, "current"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** The generation where it is still there, else the newest one: a plan that is made again may outlive the lists of the first. Null where there is none. */
export async function usableLists(paths: Paths, generation: string | undefined): Promise<string | null> {
  if (generation !== undefined && (await stat(listsDir(paths, generation)).catch(() => null)) !== null) return generation;
  return await currentLists(paths);
}

/** The directory of a generation. */
export function listsDir(paths: Paths, generation: string): string {
  return join(paths.lists, generation);
}

/** When the current lists were last found to be fresh, milliseconds since 1970; 0 before the first refresh. */
export async function listsCheckedMs(paths: Paths): Promise<number> {
  const mark = await stat(join(paths.lists, "checked")).catch(() => null);
  return mark === null ? 0 : mark.mtimeMs;
}

/**
 * A new directory for a refresh, filled with hardlinks to the current lists so that apt asks only for what changed (it replaces
 * files by renaming, it never writes into them). `name` makes it unique: the run's id.
 */
export async function beginGeneration(paths: Paths, name: string): Promise<string> {
  await mkdir(paths.lists, { recursive: true, mode: 0o755 });
  const fresh = join(paths.lists, `new-${name}`);
  await removeTree(fresh);
  const current = await currentLists(paths);
  if (current === null) await mkdir(fresh, { mode: 0o755 });
  else await exec("cp", ["-al", "--", listsDir(paths, current), fresh]);
  return fresh;
}

/** Makes a refreshed directory the current generation, or drops it where it holds just what the current one holds. */
export async function finishGeneration(paths: Paths, fresh: string): Promise<{ generation: string; changed: boolean }> {
  const current = await currentLists(paths);
  let generation = current ?? "";
  const changed = current === null || (await fingerprint(fresh)) !== (await fingerprint(listsDir(paths, current)));
  if (changed) {
    // A clock that was set back must not make the new one look older.
    const [newest] = generationsIn(await readdir(paths.lists));
    generation = String(Math.max(Date.now(), Number(newest ?? 0) + 1));
    await rename(fresh, listsDir(paths, generation));
    const link = join(paths.lists, `link-${generation}`);
    await symlink(generation, link);
    await rename(link, join(paths.lists, "current"));
  } else {
    await removeTree(fresh);
  }
  await exec("touch", [join(paths.lists, "checked")]);
  return { generation, changed };
}

/**
 * apt links the lists of a `file:` source to where they lie. A generation must not change with its source, and planning does not
 * see the source: so each becomes a copy of its own, with the times that apt's caches go by.
 */
export async function copyLinkedLists(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (!entry.isSymbolicLink()) continue;
    const path = join(directory, entry.name);
    await exec("cp", ["--dereference", "--preserve=timestamps", "--no-target-directory", "--", path, `${path}.copy`]);
    await rename(`${path}.copy`, path);
  }
}

/** Which generations outlive a pruning. */
export interface KeptLists {
  readonly newest: number;
  /** Also those that were the current one less than so long ago: whoever began to read them then may not have finished. */
  readonly supersededWithinMs: number;
}

/**
 * Removes all generations but those kept, and what killed refreshes left, with apt's caches for them. A plan that was made with
 * one that is gone is made again.
 */
export async function pruneLists(paths: Paths, keep: KeptLists): Promise<void> {
  const names = await readdir(paths.lists).catch(() => []);
  const generations = generationsIn(names);
  const nowMs = Date.now();
  const kept = new Set(
    generations.filter((_, index) => {
      const successor = generations[index - 1];
      return index < keep.newest || (successor !== undefined && Math.abs(nowMs - Number(successor)) < keep.supersededWithinMs);
    }),
  );
  for (const name of names) if (/^(\d+|link-.*)$/.test(name) && !kept.has(name)) await removeTree(join(paths.lists, name));
  for (const name of await readdir(paths.aptCache).catch(() => [])) {
    const generation = name.replace(/-.*$/, "");
    if (/^\d+$/.test(generation) && !kept.has(generation)) await removeTree(join(paths.aptCache, name));
  }
}

/** The generations among the names of a directory, newest first; each is named by the time it became the current one, in milliseconds since 1970. */
function generationsIn(names: readonly string[]): string[] {
  return names.filter((name) => /^\d+$/.test(name)).sort((a, b) => Number(b) - Number(a));
}

/** Names, inodes and sizes of the lists: a file that apt replaced has another inode, one that was a hit keeps its own. */
async function fingerprint(directory: string): Promise<string> {
  const names = (await readdir(directory)).filter((name) => name.includes("_dists_") || name.endsWith("Packages") || name.endsWith("Release")).sort();
  const parts = await Promise.all(
    names.map(async (name) => {
      const { ino, size } = await stat(join(directory, name));
      return `${name} ${ino} ${size}`;
    }),
  );
  return parts.join("\n");
}
