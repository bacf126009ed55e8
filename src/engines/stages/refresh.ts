/** The stage `refreshing`: what planning needs from elsewhere: package lists, a base's new commit, packages at addresses. */

import { withoutCredentials } from "../../model/credentials.ts";
import { isAddress } from "../../model/request.ts";
import type { Request } from "../../model/transaction.ts";
import { chooseBase } from "../../model/treeafter.ts";
import type { RunFacts, StageEngine, StageInput, StageIo, StageOutput } from "../../scheduler/ports.ts";
import { currentLists, listsCheckedMs, listsDir } from "../apt/lists.ts";
import { proxiesOf } from "../apt/proxy.ts";
import { aptCacheDir } from "../apt/readroot.ts";
import { refreshLists } from "../apt/refresh.ts";
import { type EngineContext, requireMergeDeployment, runningEtc } from "../context.ts";
import { fetchAddress } from "../local/address.ts";
import { pullBase } from "../ostree/pull.ts";

/** A prefetch takes lists that were found fresh within this time, and then the base that was pulled with them. */
const PREFETCH_FRESH_MS = 15 * 60_000;

/** Kinds that want the newest lists; the others take those that are there, as apt does, and fetch them only where there are none. */
const WANTS_NEWS: ReadonlySet<Request["kind"]> = new Set(["refresh", "upgrade", "rebase"]);

/** Refreshes what the kind of run needs fresh: always for refresh, upgrade and rebase, after a while for prefetch. */
export function refreshStage(context: EngineContext): StageEngine {
  return async (input: StageInput, io: StageIo): Promise<StageOutput> => {
    const { kind } = input.request;
    const deployment = requireMergeDeployment(input.snapshot);
    const fetched = await fetchAddresses(context, input, io);
    const facts: RunFacts = Object.keys(fetched).length === 0 ? {} : { fetched };
    const current = await currentLists(context.paths);
    const fresh = kind === "prefetch" && Date.now() - (await listsCheckedMs(context.paths)) < PREFETCH_FRESH_MS;
    const wanted = WANTS_NEWS.has(kind) || (kind === "prefetch" && !fresh);
    const choice = kind === "undo" ? null : chooseBase(input.request, deployment.origin);
    const pulls = choice !== null && "refspec" in choice && (wanted || choice.revision !== undefined);
    const found = pulls ? await pullBase(context, choice.refspec, choice.revision, io) : null;
    const based = { ...facts, ...(found === null ? {} : { revisionCommit: found }) };
    if (current !== null && !wanted) {
      const cached = !pulls && facts.fetched === undefined;
      return { facts: { ...based, listsGeneration: current }, cached, verdict: "proceed" };
    }
    io.progress(0.2, "refreshing package lists");
    const baseTree = await context.bases.ensure(deployment.origin.baseCommit);
    let lines = 0;
    const { generation, changed } = await refreshLists(context.paths, {
      baseTree,
      baseCommit: deployment.origin.baseCommit,
      runningEtc: runningEtc(context, input.snapshot),
      runId: input.runId,
      signal: io.signal,
      awaited: io.awaited,
      timeoutMs: context.settings.refreshTimeoutMs,
      onLine: (line) => {
        if (!/^(Get|Hit|Ign):/.test(line)) return;
        lines += 1;
        io.progress(1 - 0.8 * 0.8 ** lines, line.replace(/^(Get|Hit|Ign):\d+ /, "").replace(/^\S+:\/\/(\S+@)?/, ""));
      },
    });
    const summary = changed ? "the package lists are up to date now" : "the package lists were up to date";
    return {
      facts: { ...based, listsGeneration: generation, outcome: { changed, commit: "", staged: false, diff: [], summary } },
      cached: !changed,
      verdict: "proceed",
    };
  };
}

/** Fetches the packages whose addresses the request gives, each once for a run; the local packages that they are, by address. */
async function fetchAddresses(context: EngineContext, input: StageInput, io: StageIo): Promise<Readonly<Record<string, string>>> {
  const fetched: Record<string, string> = { ...input.facts.fetched };
  const addresses = (input.request.files ?? []).filter((file) => isAddress(file) && !Object.hasOwn(fetched, file));
  if (addresses.length === 0) return fetched;
  const { baseCommit } = requireMergeDeployment(input.snapshot).origin;
  const lists = (await currentLists(context.paths)) ?? "";
  const proxyFor = proxiesOf({
    baseTree: await context.bases.ensure(baseCommit),
    runningEtc: runningEtc(context, input.snapshot),
    lists: lists === "" ? context.paths.lists : listsDir(context.paths, lists),
    cache: await aptCacheDir(context.paths, lists, baseCommit),
    purpose: "plan",
  });
  for (const address of addresses) {
    const { stallTimeoutMs } = context.settings;
    const onBytes = (done: number, total: number): void => io.progress(0.1, `fetching ${withoutCredentials(address)}`, { done, total });
    fetched[address] = await fetchAddress(context.paths, address, { proxyFor, stallTimeoutMs, signal: io.signal, onBytes });
  }
  return fetched;
}
