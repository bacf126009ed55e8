/** What the scheduler's promises come to on a booted host: how readers fare beside a writer, how long the sysroot is taken, how quiet idling is. */
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { DaemonClient } from "../../src/dbus/client.ts";
import { STATEROOT } from "../../src/sandbox/layout.ts";
import { timed } from "./chroot.ts";
import { daemonMemory, POLLERS, watchStatus } from "./daemon.ts";
import { buryStaged } from "./graveyard.ts";
import { daemonPid, forgetLayers, leaveBenchHost, makeBenchHost, runTransaction, settle, startDaemon } from "./host.ts";
import { SETS, WATCHED_SET } from "./options.ts";
import type { BenchHost } from "./places.ts";
import type { PollReport } from "./pollers.ts";

const IDLE_MS = 30_000;
const POLLED_MS = 10_000;
/** Deployments of each kind, in blocks that take turns, so that a machine that slows down slows both. */
const BLOCKS = 4;
const BLOCK = 6;

/** What was measured; times are milliseconds. */
export interface HostFigures {
  readonly pollers: number;
  /** Of the daemon when nobody has asked for anything yet, MiB. */
  readonly idleRssMiB: number;
  /** How often any thread of the daemon was woken, a second (voluntary context switches, proc_pid_status(5)). */
  readonly idleWakeupsPerS: number;
  readonly idle: PollReport;
  /** While packages are installed from the plan to the deployment. */
  readonly installing: PollReport;
  /** How long installations of a remembered layer held the sysroot alone. */
  readonly windowMs: readonly number[];
  /** `ostree admin deploy` of the same commit, without a daemon. */
  readonly bareMs: readonly number[];
}

/** Makes a host, measures, and leaves it. */
export async function measureHost(say: (line: string) => void): Promise<HostFigures> {
  const bench = await makeBenchHost(say);
  try {
    const packages = SETS.find((set) => set.size === WATCHED_SET)?.packages ?? [];
    await withDaemon(bench, async (client) => {
      await runTransaction(client, { kind: "refresh" });
      await runTransaction(client, { kind: "prefetch", packages });
    });
    return { pollers: POLLERS, ...(await observe(bench, packages, say)), ...(await measureWindow(bench, say)) };
  } finally {
    await leaveBenchHost(bench);
  }
}

async function observe(
  bench: BenchHost,
  packages: readonly string[],
  say: (line: string) => void,
): Promise<Pick<HostFigures, "idleRssMiB" | "idleWakeupsPerS" | "idle" | "installing">> {
  say("A daemon that idles");
  await bench.host.killDaemon("SIGTERM");
  // Not one that watches its event loop, for which it wakes up all the time.
  await bench.host.startDaemon();
  await settle();
  const wakeups = await wakeupsOf(bench);
  await sleep(IDLE_MS);
  const idleWakeupsPerS = ((await wakeupsOf(bench)) - wakeups) / (IDLE_MS / 1000);
  const { rss } = await daemonMemory(bench);
  await bench.host.killDaemon("SIGTERM");
  const observed = await withDaemon(bench, async (client) => {
    say(`${POLLERS} readers, without a writer and beside one`);
    const idle = await watchStatus(bench, () => sleep(POLLED_MS));
    const installing = await watchStatus(bench, () => runTransaction(client, { kind: "install", packages }));
    return { idleRssMiB: rss, idleWakeupsPerS, idle: idle.status, installing: installing.status };
  });
  await forgetLayers(bench);
  return observed;
}

async function measureWindow(bench: BenchHost, say: (line: string) => void): Promise<Pick<HostFigures, "windowMs" | "bareMs">> {
  say("Deployments of one commit, by the daemon and by hand");
  const windowMs: number[] = [];
  const bareMs: number[] = [];
  for (let block = 0; block < BLOCKS; block += 1) {
    const commit = await withDaemon(bench, async (client) => {
      let deployed = "";
      // The first one assembles the layer, and is not measured.
      for (let n = block === 0 ? -1 : 0; n < BLOCK; n += 1) {
        const { result } = await runTransaction(client, { kind: "install", packages: ["hello"] });
        deployed = result.commit;
        const deploying = result.timings.find(({ stage }) => stage === "deploying");
        if (deploying === undefined) throw new Error("cannot measure: nothing was deployed");
        if (n >= 0) windowMs.push(deploying.tookMs);
        await runTransaction(client, { kind: "rollback" });
        await settle();
      }
      return deployed;
    });
    await bench.host.killDaemon("SIGTERM");
    for (let n = 0; n < BLOCK; n += 1) {
      bareMs.push(await timed(() => bench.host.exec("ostree", ["admin", "deploy", `--os=${STATEROOT}`, "--stage", "--no-prune", commit])));
      await buryStaged(bench);
      await settle();
    }
  }
  return { windowMs, bareMs };
}

/** Starts a daemon where none runs; it goes on running. */
async function withDaemon<T>(bench: BenchHost, work: (client: DaemonClient) => Promise<T>): Promise<T> {
  if ((await bench.host.processes())?.daemon == null) await startDaemon(bench);
  const client = await DaemonClient.connect(bench.host.bus);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

async function wakeupsOf(bench: BenchHost): Promise<number> {
  const tasks = `/proc/${await daemonPid(bench)}/task`;
  const counts = (await readdir(tasks)).map(async (tid) => {
    const text = await readFile(`${tasks}/${tid}/status`, "utf8");
    return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(text)?.[1] ?? 0);
  });
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}
