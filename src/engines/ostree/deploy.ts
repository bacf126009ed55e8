/** Writing deployments. Never prunes: what is not needed any more is removed by the `pruning` stage, under its own lock. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { bootedDeployment, type Deployment, mergeDeployment, type Origin, type SysrootSnapshot } from "../../model/sysroot.ts";
import type { Paths } from "../paths.ts";
import { formatOrigin } from "./origin.ts";
import { changeSysroot } from "./ostree.ts";

/** What to deploy. */
export interface DeployOptions {
  readonly stateroot: string;
  readonly commit: string;
  readonly origin: Origin;
  /** On a booted host: written now, finalised at shutdown, when /etc is merged. */
  readonly stage: boolean;
}

/** Makes a commit the default of the next boot. Not cancellable: ostree keeps the old boot entry valid until the new one is whole. */
export async function deployCommit(paths: Paths, options: DeployOptions): Promise<void> {
  const file = join(paths.tmp, `${options.origin.transaction}.origin`);
  await mkdir(paths.tmp, { recursive: true, mode: 0o700 });
  await writeFile(file, formatOrigin(options.origin), { mode: 0o600 });
  try {
    await changeSysroot(paths, `deploy ${options.commit}`, [
      "deploy",
      `--os=${options.stateroot}`,
      "--no-prune",
      ...(options.stage ? ["--stage"] : []),
      `--origin-file=${file}`,
      options.commit,
    ]);
  } finally {
    await rm(file, { force: true });
  }
}

/** What rollback would do now: drop what is not booted yet, or make another deployment the default. */
export type RollbackStep = { readonly action: "undeploy" | "setDefault"; readonly deployment: Deployment; readonly target: Deployment };

/**
 * Decides a rollback. A staged deployment is dropped; a pending one (finalised, not booted) gives way to the booted one; else
 * the newest deployment behind the booted one becomes the default. Throws NotFound where there is nothing to go back to.
 */
export function decideRollback(snapshot: Pick<SysrootSnapshot, "deployments">): RollbackStep {
  const first = mergeDeployment(snapshot);
  const second = snapshot.deployments[1];
  if (first === undefined || second === undefined) {
    throw new AptOstreeError("NotFound", "cannot roll back: there is no other deployment");
  }
  if (first.staged) return { action: "undeploy", deployment: first, target: second };
  const booted = bootedDeployment(snapshot);
  if (booted !== undefined && first.id !== booted.id) return { action: "setDefault", deployment: booted, target: booted };
  return { action: "setDefault", deployment: second, target: second };
}

/**
 * Whether a rollback that was to change deployments with these ids has been carried out: there is another default. Rolling back twice
 * would go forward again. Not so where only what is behind the default has gone: a staged deployment that was finalised when the host
 * shut down makes ostree drop the old rollback deployment, and is still to be rolled back.
 */
export function isRolledBack({ deployments }: Pick<SysrootSnapshot, "deployments">, idsBefore: readonly string[]): boolean {
  return deployments[0]?.id !== idsBefore[0];
}

/** Carries a rollback out. */
export async function rollBack(paths: Paths, step: RollbackStep): Promise<void> {
  if (step.action === "undeploy") await undeploy(paths, step.deployment);
  else await changeSysroot(paths, `make deployment ${step.deployment.index} the default`, ["set-default", String(step.deployment.index)]);
}

/** Removes one deployment. */
export async function undeploy(paths: Paths, deployment: Deployment): Promise<void> {
  await changeSysroot(paths, `remove deployment ${deployment.index}`, ["undeploy", String(deployment.index)]);
}
