/** `apt-get update` by the base tree's own apt, into a new generation of package lists. */
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { ExecError, exec } from "../exec.ts";
import type { Paths } from "../paths.ts";
import { removeTree } from "../tree.ts";
import { architectureConfig } from "./architectures.ts";
import { aptOptions, REFRESH_CONFIG } from "./config.ts";
import { beginGeneration, copyLinkedLists, finishGeneration, type KeptLists, pruneLists } from "./lists.ts";
import { localSourceDirs } from "./localsources.ts";
import { parseAptError } from "./output.ts";
import { aptCacheDir, aptCacheName, readRootArgs } from "./readroot.ts";

/** What a refresh needs. */
export interface RefreshOptions {
  readonly baseTree: string;
  readonly baseCommit: string;
  readonly runningEtc: string;
  readonly runId: string;
  readonly signal: AbortSignal;
  /** apt runs at the priority of background work until this fires. */
  readonly awaited: AbortSignal;
  /** Ends apt when it has not finished by then. */
  readonly timeoutMs: number;
  readonly onLine: (line: string) => void;
}

/** Refreshes the lists. Throws DownloadFailed or VerificationFailed, and then leaves the current lists as they were. */
export async function refreshLists(paths: Paths, options: RefreshOptions): Promise<{ generation: string; changed: boolean }> {
  const fresh = await beginGeneration(paths, options.runId);
  await mkdir(join(fresh, "partial"), { recursive: true });
  const cache = await aptCacheDir(paths, `new-${options.runId}`, options.baseCommit);
  const localSources = await localSourceDirs(options.runningEtc);
  const args = readRootArgs({ baseTree: options.baseTree, runningEtc: options.runningEtc, lists: fresh, cache, purpose: "refresh", localSources }, [
    "apt-get",
    "update",
    "-q",
    ...aptOptions([...REFRESH_CONFIG, ...(await architectureConfig(options.baseTree))]),
  ]);
  try {
    const { signal, awaited, timeoutMs, onLine } = options;
    await exec("bwrap", args, { signal, awaited, timeoutMs, onLine });
    await copyLinkedLists(fresh);
    const done = await finishGeneration(paths, fresh);
    // apt has just built its binary caches for these lists: the first plan need not build them again.
    if (done.changed) await rename(cache, join(paths.aptCache, aptCacheName(done.generation, options.baseCommit)));
    await pruneLists(paths, KEPT);
    return done;
  } catch (error) {
    await removeTree(fresh);
    if (error instanceof ExecError) throw parseAptError(`${error.stderr}\n${error.stdout}`, "refresh the package lists");
    throw error;
  } finally {
    await removeTree(cache);
  }
}

/** A plan, the check of its archives and the layer made from it read the generation that was current when the plan began. */
const KEPT: KeptLists = { newest: 3, supersededWithinMs: 20 * 60_000 };
