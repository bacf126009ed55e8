/** The stage `planning`: which base, which packages, which archives; hashed, so that what runs can be held to it. */
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { type Archive, diffPackages, digestOf, type InstalledPackage, type Plan, planDigest } from "../../model/plan.ts";
import { isAddress, titleOf } from "../../model/request.ts";
import type { Deployment } from "../../model/sysroot.ts";
import type { Request, UndoOf } from "../../model/transaction.ts";
import { type TreeState, treeStateOf } from "../../model/tree.ts";
import { chooseBase, inactiveOf, satisfies, treeAfter } from "../../model/treeafter.ts";
import { noLongerApplies } from "../../model/undone.ts";
import type { Outcome, StageEngine, StageInput, StageIo, StageOutput } from "../../scheduler/ports.ts";
import { usableLists } from "../apt/lists.ts";
import { type Solution, solve } from "../apt/solve.ts";
import { hasWords, wordsFor } from "../apt/words.ts";
import { type EngineContext, requireMergeDeployment, runningEtc } from "../context.ts";
import { readAnswers } from "../debconf.ts";
import { DPKG_ADMIN_DIR, listPackages } from "../dpkg.ts";
import { requireKept, touchKept } from "../local/kept.ts";
import { findRevision } from "../ostree/revision.ts";
import { deploymentDir } from "../paths.ts";
import { plannedPackages } from "./planned.ts";

/** Rises when the same packages on the same base would give another tree: remembered layers of older versions are not used. */
const POLICY_VERSION = 5;

const NOTHING: Solution = { archives: [], localFiles: [], removals: [] };

/** Plans a transaction against the snapshot; what a prefetch plans is what an upgrade, or an install of its packages, would. */
export function planStage(context: EngineContext): StageEngine {
  return async (input: StageInput, io: StageIo): Promise<StageOutput> => {
    const { request } = input;
    const merge = requireMergeDeployment(input.snapshot);
    const from = treeStateOf(merge.origin);
    const addresses = (request.files ?? []).filter(isAddress);
    const { fetched = {} } = input.facts;
    // Whoever joined the run meanwhile may have brought an address.
    if (addresses.some((address) => fetched[address] === undefined)) return { facts: {}, cached: false, verdict: "refresh" };
    const baseCommit = await targetBase(context, input, from);
    io.progress(0.05, "preparing the base tree");
    const baseTree = await context.bases.ensure(baseCommit);
    const base = await listPackages(join(baseTree, DPKG_ADMIN_DIR));
    const already = request.packages.filter((spec) => satisfies(base, spec));
    if (already.length > 0 && request.kind === "install") io.message("info", `the base already has ${already.join(", ")}`);
    const to = treeAfter(request, from, base, baseCommit, [...(request.locals ?? []), ...addresses.flatMap((address) => fetched[address] ?? [])]);
    const inactive = inactiveOf(to, base);
    await requireLocals(context, request, to);
    const listsGeneration = (await usableLists(context.paths, input.facts.listsGeneration)) ?? "";
    io.progress(0.2, "resolving dependencies");
    const solution = hasWords(wordsFor(to, inactive))
      ? await solve(context.paths, {
          ...{ baseTree, baseCommit, listsGeneration, tree: to, inactive },
          runningEtc: runningEtc(context, input.snapshot),
          doing: titleOf(request),
          signal: io.signal,
          awaited: io.awaited,
        })
      : NOTHING;
    const { archives, removals } = solution;
    const changesBase = archives.length + removals.length + solution.localFiles.length > 0;
    const scriptNetwork = request.scriptNetwork === true;
    const answers = changesBase ? (await readAnswers(runningEtc(context, input.snapshot))).digest : "";
    const layerKey = changesBase ? keyOf(to, inactive, solution, { scriptNetwork, answers }) : "";
    const isSame = merge.origin.layerKey === layerKey && digestOf(from) === digestOf(to);
    const rebuild = request.kind === "reinstall" && layerKey !== "";
    const plan: Plan = {
      epoch: input.snapshot.epoch,
      ...{ baseCommit, inactive, archives, removals, listsGeneration, layerKey, from, to },
      baseRefspec: to.refspec,
      requested: to.requested,
      changed: !isSame || rebuild,
      ...(answers === "" ? {} : { answers }),
      ...(scriptNetwork ? { scriptNetwork } : {}),
      ...(rebuild ? { rebuild } : {}),
    };
    requireApproved(request, plan);
    if (request.dryRun === true)
      return { facts: { plan, outcome: await tried(context, merge, plan, base, solution) }, cached: false, verdict: "proceed" };
    if (!plan.changed && request.kind !== "prefetch")
      return { facts: { plan, outcome: nothingToDo(request, merge) }, cached: false, verdict: "settled" };
    return { facts: { plan }, cached: false, verdict: "proceed" };
  };
}

function nothingToDo(request: Request, merge: Deployment): Outcome {
  const summary = request.kind === "upgrade" ? "everything is up to date" : "nothing to do: the request is satisfied already";
  return { changed: false, commit: merge.commit, staged: merge.staged, diff: [], summary };
}

/** What the plan would change. */
async function tried(context: EngineContext, merge: Deployment, plan: Plan, base: readonly InstalledPackage[], solution: Solution): Promise<Outcome> {
  const before = await listPackages(join(deploymentDir(context.paths, merge), DPKG_ADMIN_DIR));
  const diff = diffPackages(before, plannedPackages(base, solution));
  const bytes = plan.archives.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const summary = plan.changed ? `would deploy plan ${planDigest(plan)}, with ${bytes} bytes of archives` : "nothing to do";
  return { changed: plan.changed, commit: "", staged: false, diff, summary };
}

/** What was approved is what is done. Throws Conflict. */
function requireApproved({ plan: approved }: Request, plan: Plan): void {
  const digest = planDigest(plan);
  if (approved === undefined || digest.startsWith(approved)) return;
  throw new AptOstreeError("Conflict", `cannot carry out plan ${approved}: it is ${digest} by now; try a dry run again`, {
    details: { plan: digest },
  });
}

/** The commit of the base that the request aims at. Throws NotFound, and Conflict for an undo whose base the repository has no more. */
async function targetBase(context: EngineContext, { request, facts }: StageInput, now: TreeState): Promise<string> {
  const choice = chooseBase(request, now);
  if ("commit" in choice) {
    if (request.undo !== undefined && choice.commit !== now.baseCommit) await requireBase(context, request.undo, choice.commit);
    return choice.commit;
  }
  const { refspec, revision } = choice;
  if (revision !== undefined) return facts.revisionCommit ?? (await findRevision(context.paths, refspec, revision));
  const commit = await context.commits.resolve(refspec);
  if (commit !== null) return commit;
  if (request.kind === "prefetch") return now.baseCommit;
  const which = request.kind === "rebase" ? "" : ", which the deployment follows";
  throw new AptOstreeError("NotFound", `cannot ${request.kind}: the repository has no ref ${refspec}${which}`);
}

/** Local packages that no deployment is made from any more may have been cleaned up. Throws NotFound, and Conflict for an undo. */
async function requireLocals({ paths }: EngineContext, { undo }: Request, { requestedLocal, replacedLocal }: TreeState): Promise<void> {
  const locals = [...requestedLocal, ...replacedLocal];
  try {
    await requireKept(paths, locals);
    await touchKept(paths, locals);
  } catch (error) {
    if (undo === undefined || !(error instanceof AptOstreeError) || error.code !== "NotFound") throw error;
    throw noLongerApplies(undo, `a file that was kept for it is gone: ${locals.join(", ")}`, { packages: locals });
  }
}

/** A base that no deployment was built on any more may have been cleaned up. */
async function requireBase(context: EngineContext, undo: UndoOf, commit: string): Promise<void> {
  try {
    await context.commits.facts(commit);
  } catch (error) {
    if (!(error instanceof AptOstreeError) || error.code !== "NotFound") throw error;
    throw noLongerApplies(undo, `the repository has its base ${commit} no more`, { baseCommit: commit });
  }
}

function keyOf(
  to: TreeState,
  inactive: readonly string[],
  { archives, localFiles, removals }: Solution,
  { scriptNetwork, answers }: { scriptNetwork: boolean; answers: string },
): string {
  const named = (archive: Archive): string => `${archive.fileName} ${archive.hash}`;
  const { verb, words } = wordsFor(to, inactive);
  return digestOf({
    policy: POLICY_VERSION,
    baseCommit: to.baseCommit,
    words: [verb, ...words],
    archives: archives.map(named).sort(),
    localFiles: [...localFiles].sort(),
    removals: [...removals].sort(),
    ...(scriptNetwork ? { scriptNetwork } : {}),
    ...(answers === "" ? {} : { answers }),
  }).slice(0, 40);
}
