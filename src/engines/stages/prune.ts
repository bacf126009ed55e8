/** The stage `pruning`: removes what was named, then every commit, tree and archive that nothing needs any more. */
import { AptOstreeError } from "../../model/errors.ts";
import type { Deployment } from "../../model/sysroot.ts";
import type { CleanupTarget } from "../../model/transaction.ts";
import type { StageEngine, StageInput, StageIo, StageOutput } from "../../scheduler/ports.ts";
import { pruneArchives } from "../apt/fetch.ts";
import { pruneLists } from "../apt/lists.ts";
import type { EngineContext } from "../context.ts";
import { pruneKept } from "../local/kept.ts";
import { undeploy } from "../ostree/deploy.ts";
import { changeSysroot, ostreeRepo } from "../ostree/ostree.ts";
import { BASE_REFS, dropRef, LAYER_REFS, listRefs, refWrittenMs } from "../ostree/refs.ts";
import { readSysroot } from "../ostree/sysroot.ts";

/** Carries a cleanup out. Pinned and booted deployments always stay. */
export function pruneStage(context: EngineContext): StageEngine {
  return async (input: StageInput, io: StageIo): Promise<StageOutput> => {
    const { targets } = input.request;
    const removed = await removeDeployments(context, targets, io);
    if (targets.includes("repomd")) await pruneLists(context.paths, { newest: 1, supersededWithinMs: 0 });
    io.progress(0.4, "removing what nothing needs");
    const { deployments } = await readSysroot(context.paths, context.commits);
    await pruneRefs(context, deployments);
    await context.bases.prune(new Set(deployments.map((d) => d.origin.baseCommit)));
    await pruneKept(
      context.paths,
      deployments.flatMap(({ origin }) => [...origin.requestedLocal, ...origin.replacedLocal]),
    );
    if (targets.includes("base")) await pruneArchives(context.paths.archives, new Set());
    await changeSysroot(context.paths, "clean up the sysroot", ["cleanup"], { signal: io.signal });
    await ostreeRepo(context.paths, "prune the repository", ["prune", "--refs-only"], { signal: io.signal });
    const summary =
      removed.length === 0 ? "removed unused data" : `removed ${removed.length} deployment${removed.length === 1 ? "" : "s"} and unused data`;
    return { facts: { outcome: { changed: true, commit: "", staged: false, diff: [], summary } }, cached: false, verdict: "proceed" };
  };
}

async function removeDeployments(context: EngineContext, targets: readonly CleanupTarget[], io: StageIo): Promise<string[]> {
  const removed: string[] = [];
  const doomed = (d: Deployment): boolean =>
    !d.booted && !d.pinned && ((targets.includes("pending") && (d.pending || d.staged)) || (targets.includes("rollback") && d.rollback));
  for (;;) {
    // Indexes shift with each removal, so look again each time.
    const next = (await readSysroot(context.paths, context.commits)).deployments.findLast(doomed);
    if (next === undefined) return removed;
    if (removed.includes(next.id))
      throw new AptOstreeError("DeployFailed", `cannot remove deployment ${next.id}: ostree says it did, and it is still there`);
    io.progress(0.1, `removing deployment ${next.index}`);
    await undeploy(context.paths, next);
    removed.push(next.id);
  }
}

/** Drops the refs of layers that no deployment uses, save for the newest few, and of bases that no deployment is built on. */
async function pruneRefs(context: EngineContext, deployments: readonly Deployment[]): Promise<void> {
  const usedLayers = new Set(deployments.map((d) => d.commit));
  const usedBases = new Set(deployments.map((d) => d.origin.baseCommit));
  const unused = [...(await listRefs(context.paths, LAYER_REFS))].filter(([, commit]) => !usedLayers.has(commit));
  const dated = await Promise.all(unused.map(async (layer) => ({ layer, writtenMs: await refWrittenMs(context.paths, layer[0]) })));
  const layers = dated.sort((a, b) => b.writtenMs - a.writtenMs).map(({ layer }) => layer);
  const bases = [...(await listRefs(context.paths, BASE_REFS))].filter(([, commit]) => !usedBases.has(commit));
  const dropped = [...layers.slice(context.settings.keepLayers), ...bases].map(([ref]) => ref);
  for (const ref of dropped) await dropRef(context.paths, ref);
}
