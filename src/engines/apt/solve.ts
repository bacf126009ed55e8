/** Asking the base tree's own apt what a set of packages would bring, without changing anything. */
import { AptOstreeError } from "../../model/errors.ts";
import { packageName } from "../../model/names.ts";
import type { Archive } from "../../model/plan.ts";
import { ExecError, exec } from "../exec.ts";
import type { Paths } from "../paths.ts";
import { aptOptions, PLAN_CONFIG } from "./config.ts";
import { listsDir } from "./lists.ts";
import { PRINT_URIS_OPTIONS, parseAptError, parseInstallSummary, parsePrintUris } from "./output.ts";
import { aptCacheDir, type ReadRoot, readRootArgs } from "./readroot.ts";

/** What apt needs to decide. */
export interface SolveOptions {
  readonly baseTree: string;
  readonly baseCommit: string;
  readonly runningEtc: string;
  readonly listsGeneration: string;
  /** Package specs to install on top of the base; at least one. */
  readonly packages: readonly string[];
  /** What it is for, to complete "cannot …": "install vim". */
  readonly doing: string;
  readonly signal: AbortSignal;
  /** Run apt at the priority of background work. */
  readonly background: boolean;
}

/**
 * The archives that installing the packages needs. Throws UnknownPackage (all of them), Unsatisfiable with apt's reason, and
 * ProtectedPackage where apt would remove or change packages of the base.
 */
export async function solve(paths: Paths, options: SolveOptions): Promise<Archive[]> {
  const cache = await aptCacheDir(paths, options.listsGeneration, options.baseCommit);
  const lists = listsDir(paths, options.listsGeneration);
  const root: ReadRoot = { baseTree: options.baseTree, runningEtc: options.runningEtc, lists, cache, purpose: "plan" };
  await refuseModifiers(root, options);
  const args = readRootArgs(root, ["apt-get", "install", "-q", ...PRINT_URIS_OPTIONS, ...aptOptions(PLAN_CONFIG), "--", ...options.packages]);
  try {
    const { signal, background } = options;
    const { stdout } = await exec("bwrap", args, { signal, background, timeoutMs: SOLVE_TIMEOUT_MS });
    refuseBaseChanges(stdout);
    return parsePrintUris(stdout);
  } catch (error) {
    if (error instanceof ExecError) throw parseAptError(`${error.stderr}\n${error.stdout}`, options.doing);
    throw error;
  }
}

/**
 * apt takes "NAME-" as "remove NAME", "NAME+" as "install NAME" and a name with "." or "+" as a regular expression (apt-get(8)),
 * unless a package has that very name, as "g++" has.
 * Throws UnknownPackage.
 */
async function refuseModifiers(root: ReadRoot, { packages, signal, background }: SolveOptions): Promise<void> {
  const unknown: string[] = [];
  for (const name of new Set(packages.map(packageName).filter((one) => /[.+]|-$/.test(one)))) {
    const command = ["apt-cache", "pkgnames", ...aptOptions([...PLAN_CONFIG, ["APT::Cache::AllNames", "true"]]), "--", name];
    const { stdout } = await exec("bwrap", readRootArgs(root, command), { signal, background, timeoutMs: SOLVE_TIMEOUT_MS });
    if (!stdout.split("\n").includes(name)) unknown.push(name);
  }
  if (unknown.length === 0) return;
  throw new AptOstreeError("UnknownPackage", `cannot install ${packages.join(" ")}: no package has the very name ${unknown.join(", ")}`, {
    details: { packages: unknown },
  });
}

/** The base is what its publisher made it; a layer only adds to it. */
function refuseBaseChanges(stdout: string): void {
  const summary = parseInstallSummary(stdout);
  const touched = [
    ...summary.removed.map((name) => `remove ${name}`),
    ...summary.upgraded.map((name) => `upgrade ${name}`),
    ...summary.downgraded.map((name) => `downgrade ${name}`),
  ];
  if (touched.length === 0) return;
  throw new AptOstreeError("ProtectedPackage", `cannot layer the packages: apt would ${touched.join(", ")}, which the base has`, {
    details: { removed: summary.removed, upgraded: summary.upgraded, downgraded: summary.downgraded },
  });
}

const SOLVE_TIMEOUT_MS = 120_000;
