/** The stage `planning`: which base, which packages, which archives; hashed, so that what runs can be held to it. */
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { titleOf } from "../../model/names.ts";
import { type Archive, digestOf, type Plan } from "../../model/plan.ts";
import type { Origin } from "../../model/sysroot.ts";
import type { Request, UndoOf } from "../../model/transaction.ts";
import type { StageEngine, StageInput, StageIo, StageOutput } from "../../scheduler/ports.ts";
import { usableLists } from "../apt/lists.ts";
import { solve } from "../apt/solve.ts";
import { type EngineContext, requireMergeDeployment, runningEtc } from "../context.ts";
import { DPKG_ADMIN_DIR, listPackages } from "../dpkg.ts";
import { chooseBase, noLongerApplies, satisfies, targetPackages } from "./target.ts";

/** Rises when the same packages on the same base would give another tree: remembered layers of older versions are not used. */
const POLICY_VERSION = 2;

/** Plans a transaction against the snapshot; what a prefetch plans is what an upgrade, or an install of its packages, would. */
export function planStage(context: EngineContext): StageEngine {
  return async (input: StageInput, io: StageIo): Promise<StageOutput> => {
    const merge = requireMergeDeployment(input.snapshot);
    const baseCommit = await targetBase(context, input.request, merge.origin);
    io.progress(0.05, "preparing the base tree");
    const baseTree = await context.bases.ensure(baseCommit);
    const base = await listPackages(join(baseTree, DPKG_ADMIN_DIR));
    const already = input.request.packages.filter((spec) => satisfies(base, spec));
    if (already.length > 0 && input.request.kind === "install") io.message("info", `the base already has ${already.join(", ")}`);
    const requested = targetPackages(input.request, merge.origin, base);
    const active = requested.filter((spec) => !satisfies(base, spec));
    const listsGeneration = (await usableLists(context.paths, input.facts.listsGeneration)) ?? "";
    io.progress(0.2, "resolving dependencies");
    const archives =
      active.length === 0
        ? []
        : await solve(context.paths, {
            baseTree,
            baseCommit,
            runningEtc: runningEtc(context, input.snapshot),
            listsGeneration,
            packages: active,
            doing: titleOf(input.request),
            signal: io.signal,
            background: io.background,
          });
    const layerKey = active.length === 0 ? "" : keyOf(baseCommit, active, archives);
    const isSame = merge.origin.baseCommit === baseCommit && merge.origin.layerKey === layerKey && merge.origin.requested.join() === requested.join();
    const plan: Plan = {
      epoch: input.snapshot.epoch,
      baseCommit,
      baseRefspec: merge.origin.refspec,
      requested,
      inactive: requested.filter((spec) => !active.includes(spec)),
      archives,
      listsGeneration,
      layerKey,
      changed: !isSame,
      from: { baseCommit: merge.origin.baseCommit, requested: merge.origin.requested },
    };
    if (isSame && input.request.kind !== "prefetch") {
      const summary = input.request.kind === "upgrade" ? "everything is up to date" : "nothing to do: the request is satisfied already";
      return {
        facts: { plan, outcome: { changed: false, commit: merge.commit, staged: merge.staged, diff: [], summary } },
        cached: false,
        verdict: "settled",
      };
    }
    return { facts: { plan }, cached: false, verdict: "proceed" };
  };
}

/** The commit of the base that the request aims at. Throws NotFound, and Conflict for an undo whose base the repository has no more. */
async function targetBase(context: EngineContext, request: Request, origin: Origin): Promise<string> {
  const choice = chooseBase(request, origin);
  if ("commit" in choice) {
    if (request.undo !== undefined && choice.commit !== origin.baseCommit) await requireBase(context, request.undo, choice.commit);
    return choice.commit;
  }
  const commit = await context.commits.resolve(choice.refspec);
  if (commit !== null) return commit;
  if (request.kind === "prefetch") return origin.baseCommit;
  throw new AptOstreeError("NotFound", `cannot upgrade: the repository has no ref ${choice.refspec}, which the deployment follows`);
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

function keyOf(baseCommit: string, active: readonly string[], archives: readonly Archive[]): string {
  return digestOf({
    policy: POLICY_VERSION,
    baseCommit,
    packages: active,
    archives: archives.map((archive) => `${archive.fileName} ${archive.hash}`).sort(),
  }).slice(0, 40);
}
