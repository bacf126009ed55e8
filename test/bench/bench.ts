/**
 * `npm run bench`: what a transaction costs, beside plain apt-get and the naive way of layering, and how the daemon behaves meanwhile.
 * The table goes to standard output, what is being done to standard error, every single measurement to a JSON file. With the argument
 * `scheduler` it is the scheduler alone: see scheduler.ts.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DaemonClient } from "../../src/dbus/client.ts";
import { toErrorValue } from "../../src/model/errors.ts";
import { Chroots } from "./chroot.ts";
import { daemonMemory, runMix, statusCommands, watchStatus } from "./daemon.ts";
import { forgetLayers, leaveBenchHost, makeBenchHost, runTransaction, settle, startDaemon } from "./host.ts";
import { type BenchOptions, readOptions, SETS, WATCHED_SET } from "./options.ts";
import { type DeployTimes, measureSet, type SetMeasurements } from "./pairs.ts";
import type { BenchHost } from "./places.ts";
import { type DaemonMeasurements, type Measurements, report } from "./report.ts";
import { benchScheduler } from "./scheduler.ts";

const STATUS_COMMANDS = 10;
const MIX_TRANSACTIONS = 20;
const QUICK_MIX_TRANSACTIONS = 6;
const IDLE_WATCH_MS = 10_000;

async function main(options: BenchOptions): Promise<void> {
  const startMs = Date.now();
  const bench = await makeBenchHost(say);
  try {
    await prefetch(bench, options);
    const chroots = await Chroots.make(bench);
    const deploy: DeployTimes = { stagedMs: [], unstagedMs: [] };
    const sets: SetMeasurements[] = [];
    for (const set of options.sets) sets.push(await measureSet(bench, chroots, set, options.pairs, set === options.sets[0] ? deploy : null, say));
    const daemon = await observeDaemon(bench, options);
    const measurements: Measurements = {
      atMs: startMs,
      tookMs: Date.now() - startMs,
      machine: { cpus: cpus().length, cpu: cpus()[0]?.model ?? "", node: process.version },
      base: bench.base,
      pairs: options.pairs,
      deploy,
      sets,
      daemon,
    };
    await mkdir(dirname(resolve(options.json)), { recursive: true });
    await writeFile(options.json, `${JSON.stringify(measurements, null, 1)}\n`);
    process.stdout.write(report(measurements));
    say(`Every measurement is in ${options.json}`);
  } finally {
    await leaveBenchHost(bench);
  }
}

/** Every archive of every set into the daemon's cache; the lists are the newest, and the same for all that follows. */
async function prefetch(bench: BenchHost, options: BenchOptions): Promise<void> {
  await startDaemon(bench);
  const client = await DaemonClient.connect(bench.host.bus);
  await runTransaction(client, { kind: "refresh" });
  for (const { packages } of new Set([...options.sets, watchedSet()])) {
    const { result } = await runTransaction(client, { kind: "prefetch", packages });
    say(`Archives of ${packages.join(" ")}: ${result.summary}`);
  }
  await client.close();
  await bench.host.killDaemon("SIGTERM");
}

async function observeDaemon(bench: BenchHost, options: BenchOptions): Promise<DaemonMeasurements> {
  const { packages } = watchedSet();
  await startDaemon(bench);
  const client = await DaemonClient.connect(bench.host.bus);
  say("The daemon, idle");
  await settle();
  await sleep(IDLE_WATCH_MS / (options.quick ? 5 : 1));
  const idleMemory = await daemonMemory(bench);
  const commandMs = await statusCommands(bench, STATUS_COMMANDS);
  const idle = await watchStatus(bench, () => sleep(IDLE_WATCH_MS / (options.quick ? 3 : 1)));
  say("The daemon, during an installation");
  await settle();
  const installing = await watchStatus(bench, () => runTransaction(client, { kind: "install", packages }));
  await client.close();
  const memoryAfterPolls = await daemonMemory(bench);
  await forgetLayers(bench);

  const mixCount = options.quick ? QUICK_MIX_TRANSACTIONS : MIX_TRANSACTIONS;
  say(`The daemon, after ${mixCount} transactions`);
  await startDaemon(bench);
  const mixMemory = await withClient(bench, async (again) => {
    await runMix(again, mixCount, packages);
    await settle();
    return await daemonMemory(bench);
  });
  await forgetLayers(bench);
  return { idleMemory, mixMemory, memoryAfterPolls, mixCount, commandMs, idle, installing };
}

async function withClient<T>(bench: BenchHost, work: (client: DaemonClient) => Promise<T>): Promise<T> {
  const client = await DaemonClient.connect(bench.host.bus);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

function watchedSet(): (typeof SETS)[number] {
  const found = SETS.find((set) => set.size === WATCHED_SET);
  if (found === undefined) throw new Error("internal error: there is no set to watch");
  return found;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

try {
  const argv = process.argv.slice(2);
  if (argv[0] === "scheduler") await benchScheduler(say);
  else await main(readOptions(argv));
} catch (error) {
  process.stderr.write(`apt-ostree: ${toErrorValue(error).message}\n`);
  process.exitCode = 1;
}
