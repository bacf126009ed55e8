/** The stage `downloading`: every archive of the plan into the shared cache, verified. */
import { AptOstreeError } from "../../model/errors.ts";
import type { Plan } from "../../model/plan.ts";
import type { Outcome, RunFacts, StageEngine, StageInput, StageIo, StageOutput } from "../../scheduler/ports.ts";
import { fetchArchives } from "../apt/fetch.ts";
import { currentLists, listsDir } from "../apt/lists.ts";
import { proxiesOf } from "../apt/proxy.ts";
import { aptCacheDir } from "../apt/readroot.ts";
import { refreshLists } from "../apt/refresh.ts";
import { type EngineContext, runningEtc } from "../context.ts";
import { layerRef, readRef } from "../ostree/refs.ts";

const RETRIES = 4;
/** Downloads at once while nobody waits for them. */
const BACKGROUND_CONCURRENCY = 2;

/** Downloads what the plan names; nothing where the layer is remembered already. */
export function downloadStage(context: EngineContext): StageEngine {
  return async (input: StageInput, io: StageIo): Promise<StageOutput> => {
    const plan = requirePlan(input.facts);
    const { downloadConcurrency } = context.settings;
    const remembered = plan.rebuild !== true && plan.layerKey !== "" && (await readRef(context.paths, layerRef(plan.layerKey))) !== null;
    if (plan.archives.length === 0 || remembered) return { facts: { outcome: outcomeOf(plan, 0, 0) }, cached: true, verdict: "proceed" };
    const root = {
      baseTree: await context.bases.ensure(plan.baseCommit),
      runningEtc: runningEtc(context, input.snapshot),
      lists: listsDir(context.paths, plan.listsGeneration),
      cache: await aptCacheDir(context.paths, plan.listsGeneration, plan.baseCommit),
      purpose: "plan" as const,
    };
    try {
      const { fetched, bytes } = await fetchArchives(plan.archives, {
        directory: context.paths.archives,
        concurrency: () => (io.awaited.aborted ? downloadConcurrency : Math.min(BACKGROUND_CONCURRENCY, downloadConcurrency)),
        proxyFor: proxiesOf(root),
        signal: io.signal,
        retries: RETRIES,
        stallTimeoutMs: context.settings.stallTimeoutMs,
        onProgress: ({ bytesDone, bytesTotal, item }) =>
          io.progress(bytesTotal === 0 ? 1 : bytesDone / bytesTotal, `downloading ${item}`, { done: bytesDone, total: bytesTotal }),
      });
      return { facts: { outcome: outcomeOf(plan, fetched, bytes) }, cached: fetched === 0, verdict: "proceed" };
    } catch (error) {
      if (!(await isOutdated(context, plan, error))) throw error;
      return await planAgain(context, input, io, root.baseTree, plan);
    }
  };
}

/** The plan that an earlier stage made. */
export function requirePlan(facts: RunFacts): Plan {
  if (facts.plan === undefined) throw new AptOstreeError("Internal", "internal error: the stage has no plan");
  return facts.plan;
}

/** For those who wanted no more than this; a later stage puts its own in its place. */
function outcomeOf(plan: Plan, fetched: number, bytes: number): Outcome {
  const count = plan.archives.length;
  const summary = fetched === 0 ? `all ${count} archives were there already` : `fetched ${fetched} of ${count} archives, ${bytes} bytes`;
  return { changed: fetched > 0, commit: "", staged: false, diff: [], summary };
}

/** An archive that is gone from its source: the lists are older than the mirror. Not twice for the same lists. */
async function isOutdated(context: EngineContext, plan: Plan, error: unknown): Promise<boolean> {
  if (!(error instanceof AptOstreeError) || error.code !== "DownloadFailed" || error.details.notFound !== true) return false;
  return (await currentLists(context.paths)) === plan.listsGeneration;
}

/** Refreshes the lists once and plans again; where they had nothing new, the archive is truly missing. */
async function planAgain(context: EngineContext, input: StageInput, io: StageIo, baseTree: string, plan: Plan): Promise<StageOutput> {
  io.message("warning", "an archive is gone from its source: refreshing the package lists and planning again");
  const { generation, changed } = await refreshLists(context.paths, {
    baseTree,
    baseCommit: plan.baseCommit,
    runningEtc: runningEtc(context, input.snapshot),
    runId: input.runId,
    signal: io.signal,
    awaited: io.awaited,
    timeoutMs: context.settings.refreshTimeoutMs,
    onLine: () => io.progress(0, "refreshing package lists"),
  });
  if (!changed)
    throw new AptOstreeError("DownloadFailed", "cannot download: an archive is gone from its source, and the source's own lists still name it");
  return { facts: { listsGeneration: generation }, cached: false, verdict: "replan" };
}
