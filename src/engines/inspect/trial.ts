/** An install that is planned as a transaction would plan it, and not carried out; and apt's lists as it sees them. */
import { AptOstreeError } from "../../model/errors.ts";
import type { InstalledPackage } from "../../model/plan.ts";
import { makeRequest, titleOf } from "../../model/request.ts";
import type { SysrootSnapshot } from "../../model/sysroot.ts";
import { type TreeState, treeStateOf } from "../../model/tree.ts";
import { inactiveOf, treeAfter } from "../../model/treeafter.ts";
import { architectureConfig } from "../apt/architectures.ts";
import { aptOptions, PLAN_CONFIG } from "../apt/config.ts";
import { currentLists, listsDir } from "../apt/lists.ts";
import { aptCacheDir, type ReadRoot, readRootArgs } from "../apt/readroot.ts";
import { type Solution, solve } from "../apt/solve.ts";
import { hasWords, wordsFor } from "../apt/words.ts";
import { type EngineContext, requireMergeDeployment, runningEtc } from "../context.ts";
import { exec } from "../exec.ts";

const CACHE_TIMEOUT_MS = 60_000;

/** What can be tried on the deployment that new ones are made from. */
export interface Trial {
  /** What an install of the packages would make, and bring. Throws what planning throws. */
  install(specs: readonly string[]): Promise<{ readonly tree: TreeState; readonly solution: Solution }>;
  /** What apt-cache(8) prints; `okStatuses` are the exit statuses that are no error. */
  aptCache(command: string, args: readonly string[], okStatuses?: readonly number[]): Promise<string>;
}

/** Prepares a trial; `base` is what the base has. Throws NotFound where there are no package lists yet. */
export async function trialOn(context: EngineContext, snapshot: SysrootSnapshot, base: readonly InstalledPackage[]): Promise<Trial> {
  const { paths } = context;
  const { origin } = requireMergeDeployment(snapshot);
  const { baseCommit } = origin;
  const listsGeneration = await currentLists(paths);
  if (listsGeneration === null) throw new AptOstreeError("NotFound", "cannot plan: there are no package lists yet; fetch them with refresh-md");
  const baseTree = await context.bases.ensure(baseCommit);
  const etc = runningEtc(context, snapshot);
  const cache = await aptCacheDir(paths, listsGeneration, baseCommit);
  const root: ReadRoot = { baseTree, runningEtc: etc, lists: listsDir(paths, listsGeneration), cache, purpose: "plan", locals: paths.locals };
  return {
    async install(specs) {
      const request = makeRequest("install", { packages: specs });
      const tree = treeAfter(request, treeStateOf(origin), base, baseCommit);
      const inactive = inactiveOf(tree, base);
      if (!hasWords(wordsFor(tree, inactive))) return { tree, solution: { archives: [], localFiles: [], removals: [] } };
      const where = { baseTree, baseCommit, runningEtc: etc, listsGeneration };
      // Somebody waits for the answer, and nobody takes the question back.
      const running = { awaited: AbortSignal.abort(), signal: new AbortController().signal };
      return { tree, solution: await solve(paths, { ...where, tree, inactive, doing: titleOf(request), ...running }) };
    },
    async aptCache(command, args, okStatuses = [0]) {
      const argv = ["apt-cache", command, ...aptOptions([...PLAN_CONFIG, ...(await architectureConfig(baseTree))]), "--", ...args];
      return (await exec("bwrap", readRootArgs(root, argv), { timeoutMs: CACHE_TIMEOUT_MS, okStatuses })).stdout;
    },
  };
}
