/** One set after the other: made both ways, compared, told, taken away. */

import { join } from "node:path";
import { removeTree } from "../../src/engines/tree.ts";
import { setup } from "../setup.ts";
import { compareTrees, type Difference, type ListedTree } from "./compare.ts";
import { listTree } from "./entries.ts";
import { type Exception, uncovered } from "./exceptions.ts";
import { FidelityHost } from "./host.ts";
import type { FidelityOptions } from "./options.ts";
import { Trees } from "./trees.ts";

/** What a set came to: what no exception covers, or why there is nothing to compare. */
export type Outcome =
  | { readonly set: string; readonly failed: string; readonly tookMs: number }
  | { readonly set: string; readonly differences: readonly Difference[]; readonly used: ReadonlySet<Exception>; readonly tookMs: number };

/** Compares every set, in order, and tells each outcome as it comes. A set that fails does not end the run; the signal does. */
export async function runSets(options: FidelityOptions, signal: AbortSignal, tell: (outcome: Outcome) => void): Promise<void> {
  await setup();
  const host = await FidelityHost.make(options.timeoutMs, options.trees, signal);
  try {
    const trees = new Trees(host, signal, options.timeoutMs);
    for (const packages of options.sets) {
      if (signal.aborted) return;
      const outcome = await runSet(host, trees, packages, options.keep);
      if (!signal.aborted) tell(outcome);
    }
  } finally {
    await host.close(options.keep);
  }
}

async function runSet(host: FidelityHost, trees: Trees, packages: readonly string[], keep: boolean): Promise<Outcome> {
  const startMs = performance.now();
  const set = packages.join("+");
  const [plain, layered] = ["plain", "layered"].map((way) => join(host.trees, `${set}.${way}`)) as [string, string];
  try {
    await host.prefetch(packages);
    // Side by side: the daemon is another process, and each mostly waits for the disk.
    const commit = await both(host.layer(packages), trees.plain(packages, plain));
    await trees.layered(commit, layered);
    const [one, other] = await Promise.all([listed(plain), listed(layered)]);
    return { set, ...uncovered(compareTrees(one, other), one, other), tookMs: performance.now() - startMs };
  } catch (error) {
    return { set, failed: reasonOf(error), tookMs: performance.now() - startMs };
  } finally {
    if (!keep) for (const tree of [plain, layered]) await removeTree(tree);
    await host.forget();
  }
}

/** Waits for both to end, whichever fails, and says which way did; what the first gave. */
async function both<T>(layering: Promise<T>, installing: Promise<void>): Promise<T> {
  const [layer, plain] = await Promise.allSettled([layering, installing]);
  if (layer.status === "rejected") throw layer.reason;
  if (plain.status === "rejected") throw new Error(`plain apt-get: ${reasonOf(plain.reason)}`);
  return layer.value;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function listed(directory: string): Promise<ListedTree> {
  return { directory, entries: await listTree(directory) };
}
