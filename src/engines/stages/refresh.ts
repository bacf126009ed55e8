/** The stage `refreshing`: package lists, and for an upgrade, or a prefetch of one, the base's new commit. */
import type { StageEngine, StageInput, StageIo, StageOutput } from "../../scheduler/ports.ts";
import { currentLists, listsCheckedMs } from "../apt/lists.ts";
import { refreshLists } from "../apt/refresh.ts";
import { type EngineContext, requireMergeDeployment, runningEtc } from "../context.ts";
import { ostreePull } from "../ostree/ostree.ts";

/** A prefetch takes lists that were found fresh within this time, and then the base that was pulled with them. */
const PREFETCH_FRESH_MS = 15 * 60_000;

/**
 * Refreshes what the kind of run needs fresh: always for refresh and upgrade, after a while for prefetch; install and
 * uninstall take the lists that are there, as apt does, and fetch them only where there are none.
 */
export function refreshStage(context: EngineContext): StageEngine {
  return async (input: StageInput, io: StageIo): Promise<StageOutput> => {
    const { kind, packages } = input.request;
    const deployment = requireMergeDeployment(input.snapshot);
    const current = await currentLists(context.paths);
    const fresh = kind === "prefetch" && Date.now() - (await listsCheckedMs(context.paths)) < PREFETCH_FRESH_MS;
    const wanted = kind === "refresh" || kind === "upgrade" || (kind === "prefetch" && !fresh);
    if (current !== null && !wanted) return { facts: { listsGeneration: current }, cached: true, verdict: "proceed" };

    const takesBase = kind === "upgrade" || (kind === "prefetch" && packages.length === 0);
    if (takesBase) await pullBase(context, deployment.origin.refspec, io);
    io.progress(0.2, "refreshing package lists");
    const baseTree = await context.bases.ensure(deployment.origin.baseCommit);
    let fetched = 0;
    const { generation, changed } = await refreshLists(context.paths, {
      baseTree,
      baseCommit: deployment.origin.baseCommit,
      runningEtc: runningEtc(context, input.snapshot),
      runId: input.runId,
      signal: io.signal,
      background: io.background,
      timeoutMs: context.settings.refreshTimeoutMs,
      onLine: (line) => {
        if (!/^(Get|Hit|Ign):/.test(line)) return;
        fetched += 1;
        io.progress(1 - 0.8 * 0.8 ** fetched, line.replace(/^(Get|Hit|Ign):\d+ /, "").replace(/^\S+:\/\/(\S+@)?/, ""));
      },
    });
    const summary = changed ? "the package lists are up to date now" : "the package lists were up to date";
    return {
      facts: { listsGeneration: generation, outcome: { changed, commit: "", staged: false, diff: [], summary } },
      cached: !changed,
      verdict: "proceed",
    };
  };
}

/** Pulls a base from its remote; a local ref is where its publisher put it. */
async function pullBase(context: EngineContext, refspec: string, io: StageIo): Promise<void> {
  const [remote, ref] = refspec.includes(":") ? refspec.split(":", 2) : [undefined, refspec];
  if (remote === undefined || ref === undefined) return;
  io.progress(0, `pulling ${refspec}`);
  await ostreePull(context.paths, remote, ref, {
    signal: io.signal,
    background: io.background,
    onLine: (line) => {
      const percent = /(\d+)%/.exec(line)?.[1];
      if (percent !== undefined) io.progress((0.2 * Number(percent)) / 100, `pulling ${refspec}`);
    },
  });
}
