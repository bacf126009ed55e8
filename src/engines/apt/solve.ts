/** Asking the base tree's own apt what a tree's state would bring, without changing anything. */
import { AptOstreeError } from "../../model/errors.ts";
import { isPattern, packageName } from "../../model/names.ts";
import type { Archive } from "../../model/plan.ts";
import type { TreeState } from "../../model/tree.ts";
import { ExecError, exec } from "../exec.ts";
import type { Paths } from "../paths.ts";
import { architectureConfig } from "./architectures.ts";
import { type AptConfig, aptOptions, PLAN_CONFIG } from "./config.ts";
import { listsDir } from "./lists.ts";
import { PRINT_URIS_OPTIONS, parseAptError, parseInstallSummary, parsePrintUris } from "./output.ts";
import { aptCacheDir, type ReadRoot, readRootArgs } from "./readroot.ts";
import { refuseBaseChanges, refuseIndispensable, withoutLocals, wordsFor } from "./words.ts";

/** What apt needs to decide. */
export interface SolveOptions {
  readonly baseTree: string;
  readonly baseCommit: string;
  readonly runningEtc: string;
  readonly listsGeneration: string;
  /** What the tree is to be made from; there must be something for apt to do (`hasWords`). */
  readonly tree: TreeState;
  /** What of it needs nothing done on this base. */
  readonly inactive: readonly string[];
  /** What it is for, to complete "cannot …": "install vim". */
  readonly doing: string;
  readonly signal: AbortSignal;
  /** apt runs at the priority of background work until this fires. */
  readonly awaited: AbortSignal;
}

/** What apt decided. */
export interface Solution {
  /** What is to be downloaded. */
  readonly archives: readonly Archive[];
  /** apt's names for the local packages that are installed: "NAME_VERSION_ARCH.deb". */
  readonly localFiles: readonly string[];
  /** Names of packages of the base that are removed. */
  readonly removals: readonly string[];
}

/**
 * What apt would install and remove. Throws UnknownPackage (all of them at once), Unsatisfiable with apt's reasons, and
 * ProtectedPackage where apt would remove or change packages of the base that the tree's state does not name.
 */
export async function solve(paths: Paths, options: SolveOptions): Promise<Solution> {
  const { tree, inactive, signal, awaited } = options;
  refuseIndispensable(tree);
  const cache = await aptCacheDir(paths, options.listsGeneration, options.baseCommit);
  const lists = listsDir(paths, options.listsGeneration);
  const root: ReadRoot = { baseTree: options.baseTree, runningEtc: options.runningEtc, lists, cache, purpose: "plan", locals: paths.locals };
  const config: AptConfig = [...PLAN_CONFIG, ...(await architectureConfig(options.baseTree))];
  await refuseModifiers(root, config, options);
  const { verb, config: meant, words } = wordsFor(tree, inactive);
  const command = ["apt-get", verb, "-q", ...PRINT_URIS_OPTIONS, ...aptOptions([...config, ...meant]), "--", ...words];
  try {
    const { stdout } = await exec("bwrap", readRootArgs(root, command), { signal, awaited, timeoutMs: SOLVE_TIMEOUT_MS });
    const summary = parseInstallSummary(stdout);
    refuseBaseChanges(summary, tree);
    return { ...withoutLocals(parsePrintUris(stdout)), removals: summary.removed };
  } catch (error) {
    if (error instanceof ExecError) throw parseAptError(`${error.stderr}\n${error.stdout}`, options.doing);
    throw error;
  }
}

/**
 * apt takes "NAME-" as "remove NAME", "NAME+" as "install NAME" and a name with "." or "+" as a regular expression (apt-get(8)),
 * unless a package has that very name, as "g++" has. Patterns are meant as such.
 * Throws UnknownPackage.
 */
async function refuseModifiers(root: ReadRoot, config: AptConfig, { tree, signal, awaited }: SolveOptions): Promise<void> {
  const unknown: string[] = [];
  const specs = [...tree.requested, ...tree.replaced].filter((spec) => !isPattern(spec));
  for (const name of new Set(specs.map(packageName).filter((one) => /[.+]|-$/.test(one)))) {
    const command = ["apt-cache", "pkgnames", ...aptOptions([...config, ["APT::Cache::AllNames", "true"]]), "--", name];
    const { stdout } = await exec("bwrap", readRootArgs(root, command), { signal, awaited, timeoutMs: SOLVE_TIMEOUT_MS });
    if (!stdout.split("\n").includes(name)) unknown.push(name);
  }
  if (unknown.length === 0) return;
  throw new AptOstreeError("UnknownPackage", `cannot install ${specs.join(" ")}: no package has the very name ${unknown.join(", ")}`, {
    details: { packages: unknown },
  });
}

const SOLVE_TIMEOUT_MS = 120_000;
