/** What the stages share: where things are, what is remembered of the repository, and the settings. */
import { join } from "node:path";
import { AptOstreeError } from "../model/errors.ts";
import { bootedDeployment, type Deployment, mergeDeployment, type SysrootSnapshot } from "../model/sysroot.ts";
import type { BaseTrees } from "./ostree/base.ts";
import type { Commits } from "./ostree/commits.ts";
import { deploymentDir, type Paths } from "./paths.ts";

/** Settings that the engines obey; `src/config.ts` reads them. */
export interface EngineSettings {
  /** Downloads at once. */
  readonly downloadConcurrency: number;
  /** A download without a byte for this long is started again. */
  readonly stallTimeoutMs: number;
  /** apt, dpkg and all maintainer scripts of one transaction. */
  readonly installTimeoutMs: number;
  /** What apt, dpkg and all maintainer scripts of one transaction may use together. */
  readonly scriptMemoryBytes: number;
  readonly scriptProcesses: number;
  /** `apt-get update`. */
  readonly refreshTimeoutMs: number;
  /** Layers that no deployment uses but that are kept for a later install or rollback. */
  readonly keepLayers: number;
}

/** Handed to every stage. */
export interface EngineContext {
  readonly paths: Paths;
  readonly commits: Commits;
  readonly bases: BaseTrees;
  readonly settings: EngineSettings;
}

/** The deployment that new ones are made from. Throws NotFound in a sysroot without any. */
export function requireMergeDeployment(snapshot: Pick<SysrootSnapshot, "sysroot" | "deployments">): Deployment {
  const deployment = mergeDeployment(snapshot);
  if (deployment === undefined) throw new AptOstreeError("NotFound", `cannot change ${snapshot.sysroot}: it has no deployment yet`);
  return deployment;
}

/** `/etc` of the running system: the live one on a booted host, else that of the deployment new ones are made from. */
export function runningEtc(context: EngineContext, snapshot: SysrootSnapshot): string {
  if (snapshot.booted) return "/etc";
  return join(deploymentDir(context.paths, bootedDeployment(snapshot) ?? requireMergeDeployment(snapshot)), "etc");
}
