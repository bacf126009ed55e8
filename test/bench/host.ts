/** The booted host that is measured on: made anew for each benchmark, save for the archives that an earlier one downloaded. */

import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { DaemonClient } from "../../src/dbus/client.ts";
import type { Submission } from "../../src/dbus/wire.ts";
import { exec } from "../../src/engines/exec.ts";
import { LOOP_DELAY_FILE } from "../../src/loopdelay.ts";
import type { TransactionView } from "../../src/model/transaction.ts";
import { ensureBase } from "../../src/sandbox/base.ts";
import { SandboxHost } from "../../src/sandbox/host.ts";
import { checkoutRoot, INNER_RUN } from "../../src/sandbox/layout.ts";
import { removeTree } from "../../src/sandbox/sysroot.ts";
import { buryObjects, buryStaged, listObjects, makeSpreadDirectory } from "./graveyard.ts";
import { type BenchHost, INNER_REPO } from "./places.ts";

/** Makes and boots the host; its daemon does not run yet. The caller calls `leaveBenchHost` in the end. */
export async function makeBenchHost(say: (line: string) => void): Promise<BenchHost> {
  const sandbox = new SandboxHost(join(checkoutRoot(), ".sandbox"));
  const base = await sandbox.locked(() => ensureBase(sandbox.layout, say));
  const host = new SandboxHost(join(checkoutRoot(), ".sandbox/bench"));
  await host.stop();
  const directory = join(host.layout.stateVar, "bench");
  await removeScratch(directory);
  await host.createSysroot({ repo: base.repo, ref: base.ref, keepVar: ["lib/apt-ostree/archives"] });
  await host.boot();
  await makeSpreadDirectory(directory);
  const repo = join(host.layout.sysroot, "ostree/repo");
  return { host, directory, repo, objects: await listObjects(repo), base: { ref: base.ref, commit: base.commit } };
}

/** Stops the host. Its archives stay for the next benchmark. */
export async function leaveBenchHost({ host, directory }: BenchHost): Promise<void> {
  await host.stop();
  await removeScratch(directory);
}

/** A deployment's directory is immutable, and nobody expects one below a /var. */
async function removeScratch(directory: string): Promise<void> {
  await removeTree(join(directory, "sysroot"));
  await removeTree(directory);
}

/** Starts a daemon that reports its event loop's delay when asked to. */
export async function startDaemon({ host }: BenchHost): Promise<void> {
  await host.startDaemon({ env: { [LOOP_DELAY_FILE]: `${INNER_RUN}/loop.json` }, config: { logLevel: "info" } });
}

/** Its process number on this machine. Throws where it does not run. */
export async function daemonPid({ host }: BenchHost): Promise<number> {
  const pid = (await host.processes())?.daemon ?? null;
  if (pid === null) throw new Error("cannot measure the daemon: it does not run");
  return pid;
}

/** Runs a transaction as a client does: the time from the request to the news of its end, and what it came to. Throws when it failed. */
export async function runTransaction(
  client: DaemonClient,
  submission: Omit<Submission, "agent">,
): Promise<{ tookMs: number; view: TransactionView; result: NonNullable<TransactionView["result"]> }> {
  const startMs = performance.now();
  const id = await client.submit({ ...submission, agent: "bench" });
  let last: TransactionView | null = null;
  for await (const event of client.follow(id)) if (event.kind === "finished") last = event.view;
  const tookMs = performance.now() - startMs;
  if (last?.state !== "finished" || last.result === null)
    throw new Error(`cannot measure: ${last?.title ?? id}: ${last?.error?.message ?? "no result"}`);
  return { tookMs, view: last, result: last.result };
}

/**
 * Puts the host back to the bare base with no layer remembered and nothing of one in the repository, so that the next installation
 * really assembles. The daemon is ended first; the next one has forgotten the facts of the commit that will be made again.
 */
export async function forgetLayers(bench: BenchHost): Promise<void> {
  await bench.host.killDaemon("SIGTERM");
  await buryStaged(bench);
  await bench.host.exec("ostree", [`--repo=${INNER_REPO}`, "refs", "--delete", "apt-ostree/layer"]);
  await buryObjects(bench, bench.repo, bench.objects, false);
}

/** A moment for what was started to end, then everything to the disk, so that nothing of it is charged to what is measured next. */
export async function settle(): Promise<void> {
  await sleep(SETTLE_MS);
  await exec("sync", []);
}

/** Longer than the daemon waits before it reads a sysroot that somebody else changed, with the reading. */
const SETTLE_MS = 700;
