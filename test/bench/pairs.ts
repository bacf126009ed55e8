/** The three ways to the same packages, run in turn. */
import { DaemonClient } from "../../src/dbus/client.ts";
import type { StageTiming } from "../../src/model/transaction.ts";
import { STATEROOT } from "../../src/sandbox/layout.ts";
import { type Chroots, type NaiveTimes, timed } from "./chroot.ts";
import { buryStaged } from "./graveyard.ts";
import { forgetLayers, runTransaction, settle, startDaemon } from "./host.ts";
import type { PackageSet } from "./options.ts";
import { type BenchHost, INNER_REPO } from "./places.ts";
import { compareRoots, differingPaths, listTree } from "./trees.ts";

/** One run of our own. */
export interface FastRun {
  readonly tookMs: number;
  readonly timings: readonly StageTiming[];
  readonly commit: string;
}

/** Everything measured of one set. Rows of equal index were run one after the other. */
export interface SetMeasurements {
  readonly size: number;
  readonly packages: readonly string[];
  /** What apt installs for them. */
  readonly count: number;
  readonly fast: FastRun[];
  readonly plainMs: number[];
  readonly naive: NaiveTimes[];
  tree: TreeComparison | null;
}

/** How the trees of the ways compare. */
export interface TreeComparison {
  /** Root checksums of our commit and of the same tree committed without shortcuts. */
  readonly fast: string;
  readonly slow: string;
  readonly equal: boolean;
  /** Every run of ours made the same commit. */
  reproducible: boolean;
  /** Whether dpkg has the same packages in the same versions as after plain apt-get. */
  samePackages: boolean;
  /** Paths that are not the same in the naive commit. */
  differing: string[];
}

/** For sets of this size on the naive way, which is not close, is run every other time: it takes longer than the others together. */
const RARELY_NAIVE_FROM = 100;

/**
 * Runs each way `pairs` times, in an order that turns with every round, so that none is always the one after the
 * heaviest. Bare deployments are among them where `deploy` takes their times.
 */
export async function measureSet(
  bench: BenchHost,
  chroots: Chroots,
  set: PackageSet,
  pairs: number,
  deploy: DeployTimes | null,
  say: (line: string) => void,
): Promise<SetMeasurements> {
  const count = await chroots.count(set.packages);
  const measured: SetMeasurements = { ...set, count, fast: [], plainMs: [], naive: [], tree: null };
  let ours: { paths: Map<string, string>; dpkg: string } | null = null;
  let plainDpkg = "";
  let naivePaths: Map<string, string> | null = null;

  const fast = async (): Promise<string> => {
    const { run, client } = await installOnce(bench, set.packages);
    measured.fast.push(run);
    if (ours === null) {
      const roots = await compareRoots(bench.host, run.commit);
      measured.tree = { ...roots, reproducible: true, samePackages: false, differing: [] };
      ours = { paths: await listTree(bench.host, INNER_REPO, run.commit), dpkg: await dpkgOf(bench, run.commit) };
    }
    if (measured.tree !== null && run.commit !== measured.fast[0]?.commit) measured.tree.reproducible = false;
    await client.close();
    await forgetLayers(bench);
    return `ours ${seconds(run.tookMs)}`;
  };
  const plain = async (): Promise<string> => {
    const { tookMs, installed } = await chroots.plain(set.packages);
    measured.plainMs.push(tookMs);
    plainDpkg = installed;
    return `plain ${seconds(tookMs)}`;
  };
  const naive = async (): Promise<string> => {
    const look = async (repo: string, ref: string): Promise<void> => {
      naivePaths ??= await listTree(bench.host, repo, ref);
    };
    const times = await chroots.naive(set.packages, look);
    measured.naive.push(times);
    return `naive ${seconds(sum(times))}`;
  };

  const ways = [fast, plain, naive, ...(deploy === null ? [] : [() => measureDeploy(bench, chroots, deploy)])];
  for (let pair = 0; pair < pairs; pair++) {
    const told: string[] = [];
    for (let i = 0; i < ways.length; i++) {
      const way = ways[(i + pair) % ways.length];
      if (way !== undefined && !(way === naive && set.size >= RARELY_NAIVE_FROM && pair % 2 === 1)) told.push(await way());
    }
    say(`${count} packages, round ${pair + 1} of ${pairs}: ${told.join(", ")}`);
  }
  // Assigned in the closures above, which the compiler does not follow.
  const layer = ours as { paths: Map<string, string>; dpkg: string } | null;
  if (measured.tree !== null && layer !== null && naivePaths !== null) {
    measured.tree.samePackages = layer.dpkg === plainDpkg;
    measured.tree.differing = differingPaths(layer.paths, naivePaths);
  }
  return measured;
}

/** One installation that really assembles, by a daemon that has just started. The caller closes the client and forgets the layer. */
export async function installOnce(bench: BenchHost, packages: readonly string[]): Promise<{ run: FastRun; client: DaemonClient }> {
  await startDaemon(bench);
  const client = await DaemonClient.connect(bench.host.bus);
  await settle();
  const { tookMs, result } = await runTransaction(client, { kind: "install", packages });
  const assembling = result.timings.find((timing) => timing.stage === "assembling");
  if (assembling === undefined || assembling.cached) throw new Error("cannot measure: the layer was not assembled but remembered");
  return { run: { tookMs, timings: result.timings, commit: result.commit }, client };
}

/** Bare deployments of the base, in milliseconds: staged as ours are, and written at once. */
export interface DeployTimes {
  readonly stagedMs: number[];
  readonly unstagedMs: number[];
}

/** Adds one of each. The daemon must not run. */
async function measureDeploy(bench: BenchHost, chroots: Chroots, times: DeployTimes): Promise<string> {
  const { host, base } = bench;
  await settle();
  const stagedMs = await timed(() => host.exec("ostree", ["admin", "deploy", `--os=${STATEROOT}`, "--stage", "--no-prune", base.commit]));
  await buryStaged(bench);
  const unstagedMs = await chroots.deployBase();
  times.stagedMs.push(stagedMs);
  times.unstagedMs.push(unstagedMs);
  return `a bare deployment ${seconds(stagedMs)} staged, ${seconds(unstagedMs)} at once`;
}

/** The whole of the naive way. */
export function sum(times: NaiveTimes): number {
  return Object.values(times).reduce((total, ms) => total + ms, 0);
}

/** Milliseconds as seconds. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

async function dpkgOf({ host }: BenchHost, commit: string): Promise<string> {
  const script =
    'd=/sysroot/ostree/deploy; for t in $d/*/deploy/"$1".*; do case $t in *.origin) ;; *) dpkg-query --admindir="$t/usr/lib/sysimage/dpkg" -W -f "$2"; break;; esac; done';
  return (await host.exec("sh", ["-c", script, "dpkg", commit, "${Package} ${Architecture} ${Version}\\n"])).stdout;
}
