/** The stage `deploying`: the exclusive one, and short. Looks first: after a crash the deployment may stand already. */
import { join } from "node:path";
import { AptOstreeError, toErrorValue } from "../../model/errors.ts";
import { diffPackages, type InstalledPackage, type PackageChange, treeOfPlan } from "../../model/plan.ts";
import type { Deployment, SysrootSnapshot } from "../../model/sysroot.ts";
import { type TreeState, treeStateOf } from "../../model/tree.ts";
import type { Outcome, StageEngine, StageInput, StageIo, StageOutput } from "../../scheduler/ports.ts";
import { type EngineContext, requireMergeDeployment } from "../context.ts";
import { DPKG_ADMIN_DIR, listPackages } from "../dpkg.ts";
import { decideRollback, deployCommit, isRolledBack, rollBack } from "../ostree/deploy.ts";
import { readSysroot } from "../ostree/sysroot.ts";
import { deploymentDir } from "../paths.ts";
import { requirePlan } from "./download.ts";

/** Deploys the run's layer, or carries out a rollback. */
export function deployStage(context: EngineContext): StageEngine {
  return async (input: StageInput, io: StageIo): Promise<StageOutput> => {
    const before = await readSysroot(context.paths, context.commits);
    const idsBefore = input.facts.deploymentsBefore ?? [];
    const former = formerState(input, before);
    if (input.request.kind === "rollback") {
      const done = isRolledBack(before, idsBefore);
      return { facts: { outcome: await doRollback(context, before, { io, done, former }) }, cached: done, verdict: "proceed" };
    }
    const standing = before.deployments.find((d) => d.origin.transaction === input.transactionId);
    if (standing !== undefined)
      return {
        facts: { outcome: await describe(context, standing, former, await packagesBehind(context, before, standing)) },
        cached: true,
        verdict: "proceed",
      };
    const plan = requirePlan(input.facts);
    if (!sameDeployments(before.deployments, idsBefore) || plan.epoch !== input.snapshot.epoch) {
      io.message("warning", "the sysroot was changed meanwhile: planning again");
      return { facts: {}, cached: false, verdict: "replan" };
    }
    io.progress(0.1, "writing the deployment");
    const { layer } = input.facts;
    if (layer === undefined) throw new AptOstreeError("Internal", "internal error: nothing was assembled");
    // A staged deployment goes when the next one is staged, so what it held must be read before.
    const merge = requireMergeDeployment(before);
    const packagesBefore = await packagesOf(context, merge);
    const deploying = deployCommit(context.paths, {
      stateroot: merge.stateroot,
      commit: layer.commit,
      stage: before.booted,
      origin: { ...treeOfPlan(plan), inactive: plan.inactive, layerKey: plan.layerKey, transaction: input.transactionId },
    });
    await unlessDone(deploying, context, io, ([first]) => first?.origin.transaction === input.transactionId);
    const after = await readSysroot(context.paths, context.commits);
    const made = after.deployments.find((d) => d.origin.transaction === input.transactionId);
    if (made === undefined || made.index !== 0) {
      throw new AptOstreeError("Conflict", "cannot deploy: another program wrote a deployment at the same moment; try again");
    }
    return { facts: { outcome: await describe(context, made, stateOf(merge), packagesBefore) }, cached: false, verdict: "proceed" };
  };
}

type Reading = Omit<SysrootSnapshot, "epoch" | "warnings">;

/** Whether the deployments are the named ones, in that order. */
function sameDeployments(deployments: readonly Deployment[], ids: readonly string[]): boolean {
  return deployments.map((d) => d.id).join() === ids.join();
}

/**
 * ostree may fail when it has done what it was to do: it could not remove what that replaced, and drops a staged deployment before it
 * says so. What is done stands, as undoing it would bring nothing back; people are told.
 */
async function unlessDone(
  work: Promise<void>,
  context: EngineContext,
  io: StageIo,
  isDone: (deployments: readonly Deployment[]) => boolean,
): Promise<void> {
  try {
    await work;
  } catch (error) {
    const { deployments } = await readSysroot(context.paths, context.commits);
    if (!isDone(deployments)) throw error;
    io.message("warning", `the deployment stands, though ostree failed after it: ${toErrorValue(error).message}`);
  }
}

async function doRollback(
  context: EngineContext,
  before: Reading,
  { io, done, former }: { readonly io: StageIo; readonly done: boolean; readonly former: TreeState | undefined },
): Promise<Outcome> {
  const merge = requireMergeDeployment(before);
  if (done) return rolledBackTo(merge, former, []);
  const step = decideRollback(before);
  const diff = diffPackages(await packagesOf(context, merge), await packagesOf(context, step.target));
  await unlessDone(rollBack(context.paths, step), context, io, ([first]) => first?.id === step.target.id);
  return rolledBackTo(step.target, stateOf(merge), diff);
}

function rolledBackTo(target: Deployment, from: TreeState | undefined, diff: readonly PackageChange[]): Outcome {
  const summary = target.booted
    ? "the booted deployment is the default again"
    : `the next boot starts ${target.version || target.commit.slice(0, 12)}`;
  return { changed: true, commit: target.commit, staged: false, diff, summary, ...changeOf(from, target) };
}

async function describe(
  context: EngineContext,
  made: Deployment,
  from: TreeState | undefined,
  packagesBefore: readonly InstalledPackage[],
): Promise<Outcome> {
  const diff = diffPackages(packagesBefore, await packagesOf(context, made));
  const version = made.version || made.commit.slice(0, 12);
  const count = made.layered.length;
  const layers = `${count} layered package${count === 1 ? "" : "s"}`;
  const summary = made.commit === made.origin.baseCommit ? `deployed the bare base ${version}` : `deployed ${version} with ${layers}`;
  return { changed: true, commit: made.commit, staged: made.staged, diff, summary, ...changeOf(from, made) };
}

/**
 * For a resumed stage: what the deployment that was to be changed was made from. The plan has it; of a rollback it is known as long as
 * that deployment is there, which a dropped one is not.
 */
function formerState(input: StageInput, before: Reading): TreeState | undefined {
  const former = before.deployments.find((d) => d.id === input.facts.deploymentsBefore?.[0]);
  return input.facts.plan?.from ?? (former === undefined ? undefined : stateOf(former));
}

function changeOf(from: TreeState | undefined, to: Deployment): Pick<Outcome, "change"> {
  return from === undefined ? {} : { change: { from, to: stateOf(to) } };
}

function stateOf({ origin }: Deployment): TreeState {
  return treeStateOf(origin);
}

/** For a resumed stage: the packages of the deployment that the standing one came after, as far as it is still there. */
async function packagesBehind(context: EngineContext, before: Reading, standing: Deployment): Promise<readonly InstalledPackage[]> {
  const behind = before.deployments.find((d) => d.index > standing.index);
  return behind === undefined ? [] : await packagesOf(context, behind);
}

function packagesOf(context: EngineContext, deployment: Deployment): Promise<InstalledPackage[]> {
  return listPackages(join(deploymentDir(context.paths, deployment), DPKG_ADMIN_DIR));
}
