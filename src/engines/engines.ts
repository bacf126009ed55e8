/** The engines as the scheduler sees them: one object made of the stages. */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Engines } from "../scheduler/ports.ts";
import { prepareDirectory } from "./apt/archives.ts";
import { whyNotNow } from "./conditions.ts";
import type { EngineContext, EngineSettings } from "./context.ts";
import { Inspector } from "./inspect/inspector.ts";
import { removeConfinement } from "./layer/limits.ts";
import { keepFiles } from "./local/kept.ts";
import { BaseTrees } from "./ostree/base.ts";
import { Commits } from "./ostree/commits.ts";
import { undeploy } from "./ostree/deploy.ts";
import { dropRef, EARLY_REFS, earlyRef, listRefs } from "./ostree/refs.ts";
import { Remotes } from "./ostree/remotes.ts";
import { readSysroot } from "./ostree/sysroot.ts";
import { awaitSysroot } from "./ostree/sysrootlock.ts";
import { type Paths, resolvePaths } from "./paths.ts";
import { assembleStage } from "./stages/assemble.ts";
import { deployStage } from "./stages/deploy.ts";
import { downloadStage } from "./stages/download.ts";
import { planStage } from "./stages/plan.ts";
import { pruneStage } from "./stages/prune.ts";
import { refreshStage } from "./stages/refresh.ts";
import { removeTree } from "./tree.ts";
import { watchSysroot } from "./watch.ts";

/** The engines, and what answers the doors' questions beside the scheduler. */
export interface SysrootEngines extends Engines {
  readonly inspector: Inspector;
  readonly remotes: Remotes;
}

/** Makes the engines of a sysroot. Throws where there is no repository. */
export async function makeEngines(sysroot: string, state: string, settings: EngineSettings): Promise<SysrootEngines> {
  const paths = await resolvePaths(sysroot, state);
  for (const directory of [paths.work, paths.bases]) await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const directory of [paths.state, paths.lists, paths.aptCache, paths.locals]) await mkdir(directory, { recursive: true, mode: 0o755 });
  await prepareDirectory(paths.archives);
  const commits = new Commits(paths);
  await sweep(paths);
  const context: EngineContext = { paths, commits, bases: new BaseTrees(paths), settings };
  return {
    inspector: new Inspector(context),
    remotes: new Remotes(paths),
    stages: {
      refreshing: refreshStage(context),
      planning: planStage(context),
      downloading: downloadStage(context),
      assembling: assembleStage(context),
      deploying: deployStage(context),
      pruning: pruneStage(context),
    },
    whyNotNow: () => whyNotNow(),
    awaitSysroot: (io) => awaitSysroot(paths, io),
    keepLocals: (files) => keepFiles(paths, files),
    readSysroot: () => readSysroot(paths, commits),
    watchSysroot: (changed) => watchSysroot(paths, changed),
    clean: async (runId) => {
      await removeConfinement(runId);
      await removeTree(join(paths.work, runId));
      await dropRef(paths, earlyRef(runId));
      for (const name of await readdir(paths.lists)) if (name === `new-${runId}`) await removeTree(join(paths.lists, name));
      for (const name of await readdir(paths.aptCache)) if (name.startsWith(`new-${runId}-`)) await removeTree(join(paths.aptCache, name));
    },
    rollBack: async (transactionId) => {
      // ostree keeps the boot entry whole, so all that a failed deployment can leave is one that nobody was told of.
      const { deployments } = await readSysroot(paths, commits);
      const left = deployments.find((d) => d.origin.transaction === transactionId && !d.booted);
      if (left !== undefined) await undeploy(paths, left);
    },
  };
}

/** Removes what runs of dead daemons left, also of such as no journal knows any more. Nothing runs yet, and nobody else may. */
async function sweep(paths: Paths): Promise<void> {
  for (const runId of await readdir(paths.work)) {
    await removeConfinement(runId);
    await removeTree(join(paths.work, runId));
  }
  await removeTree(paths.tmp);
  for (const directory of [paths.lists, paths.aptCache, paths.locals]) {
    for (const name of await readdir(directory)) if (name.startsWith("new-")) await removeTree(join(directory, name));
  }
  for (const ref of (await listRefs(paths, EARLY_REFS)).keys()) await dropRef(paths, ref);
}
