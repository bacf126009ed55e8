/** The table for people: medians with least and greatest, and each aim with whether it was met. */
import { STAGES } from "../../src/model/transaction.ts";
import { NAIVE_STEPS } from "./chroot.ts";
import { CALLS_A_SECOND, type Memory, POLLERS, type Watched } from "./daemon.ts";
import { WATCHED_SET } from "./options.ts";
import { type DeployTimes, type SetMeasurements, sum } from "./pairs.ts";
import { median, summarize } from "./stats.ts";

/** What was measured of the daemon. */
export interface DaemonMeasurements {
  readonly idleMemory: Memory;
  readonly mixMemory: Memory;
  /** After the pollers and the installation under their eyes. */
  readonly memoryAfterPolls: Memory;
  readonly mixCount: number;
  readonly commandMs: readonly number[];
  readonly idle: Watched;
  readonly installing: Watched;
}

/** The whole of a benchmark: what the JSON file holds. Times are milliseconds. */
export interface Measurements {
  readonly atMs: number;
  readonly tookMs: number;
  readonly machine: { readonly cpus: number; readonly cpu: string; readonly node: string };
  readonly base: { readonly ref: string; readonly commit: string };
  readonly pairs: number;
  readonly deploy: DeployTimes;
  readonly sets: readonly SetMeasurements[];
  readonly daemon: DaemonMeasurements;
}

/** From this many packages on, a transaction is to be no slower than plain apt-get. */
const FROM_PACKAGES = 40;
const DEPLOY_FACTOR = 1.2;
const NAIVE_FACTOR = 0.7;
const STATUS_P99_MS = 20;
const IDLE_RSS_MIB = 70;

/** One line of the verdict. */
export interface Aim {
  readonly text: string;
  readonly met: boolean;
}

/** The aims, with what was measured. */
export function aims(measurements: Measurements): Aim[] {
  const list: Aim[] = [];
  const deploy = median(measurements.deploy.unstagedMs);
  const staged = median(measurements.deploy.stagedMs);
  for (const set of measurements.sets) {
    const ours = median(set.fast.map((run) => run.tookMs));
    const plain = median(set.plainMs);
    const naive = median(set.naive.map(sum));
    const what = `${set.count} package${set.count === 1 ? "" : "s"}`;
    if (set.size >= FROM_PACKAGES) {
      // On a machine with other work the medians alone can come from different moments, so the rounds must agree with them.
      const rounds = set.fast.filter((run, i) => run.tookMs <= (set.plainMs[i] ?? 0)).length;
      const text = `${what}: ours <= 1.0 x plain apt-get, by medians and in most rounds: ${ratio(ours, plain)}, ${rounds} of ${set.fast.length} rounds`;
      list.push({ text, met: ours <= plain && rounds * 2 > set.fast.length });
    } else {
      const line = (name: string, ms: number): Aim => ({
        text: `${what}: ours <= plain apt-get + ${DEPLOY_FACTOR} x a bare deployment, ${name}: ${s(ours)} against ${s(plain + DEPLOY_FACTOR * ms)} s`,
        met: ours <= plain + DEPLOY_FACTOR * ms,
      });
      list.push(line("written at once", deploy), line("staged as ours is", staged));
    }
    list.push({ text: `${what}: ours <= ${NAIVE_FACTOR} x the naive way: ${ratio(ours, naive)}`, met: ours <= NAIVE_FACTOR * naive });
    const { tree } = set;
    if (tree !== null) {
      list.push({ text: `${what}: root checksum of our commit as of one made without shortcuts`, met: tree.equal });
      list.push({ text: `${what}: every run made the same commit`, met: tree.reproducible });
      list.push({ text: `${what}: dpkg has what it has after plain apt-get`, met: tree.samePackages });
    }
  }
  const { installing, idleMemory } = measurements.daemon;
  const p99 = installing.status.p99Ms;
  list.push({ text: `status over D-Bus p99 < ${STATUS_P99_MS} ms during an installation: ${p99.toFixed(1)} ms`, met: p99 < STATUS_P99_MS });
  list.push({ text: `idle daemon < ${IDLE_RSS_MIB} MiB resident: ${idleMemory.rss.toFixed(1)} MiB`, met: idleMemory.rss < IDLE_RSS_MIB });
  return list;
}

/** The whole report as text. */
export function report(measurements: Measurements): string {
  const { machine, deploy, sets } = measurements;
  const lines = [
    `${machine.cpus} x ${machine.cpu}, Node ${machine.node}, ${measurements.pairs} rounds, ${(measurements.tookMs / 60_000).toFixed(1)} minutes`,
    "Seconds: median (least - greatest). Archives and lists were there; every disk was synced before each run.",
    "",
    ...sets.flatMap(setLines),
    "Bare `ostree admin deploy` of the base",
    row("  written at once", deploy.unstagedMs),
    row("  staged, as ours is", deploy.stagedMs),
    "",
    ...daemonLines(measurements.daemon),
    "",
    "Aims",
    ...aims(measurements).map(({ text, met }) => `  ${met ? "met   " : "MISSED"}  ${text}`),
    "",
  ];
  return lines.join("\n");
}

function setLines(set: SetMeasurements): string[] {
  const ours = set.fast.map((run) => run.tookMs);
  const stage = (name: string): number[] =>
    set.fast.map(({ timings }) => timings.filter((timing) => timing.stage === name).reduce((total, { tookMs }) => total + tookMs, 0));
  const names = [...STAGES.filter((name) => name !== "pruning"), "cleaning"];
  const named = set.fast.map(({ timings, tookMs }) => tookMs - timings.reduce((total, timing) => total + timing.tookMs, 0));
  const relative = (other: readonly number[]): string => `ours is ${ratio(median(ours), median(other))} of it`;
  return [
    `${set.count} package${set.count === 1 ? "" : "s"}: ${set.packages.join(" ")}`,
    row("  ours, from the request to its end", ours),
    ...names.map((name) => row(`    ${name}`, stage(name))),
    row("    between and around the stages", named),
    row("  (a) plain apt-get in a chroot", set.plainMs, relative(set.plainMs)),
    row(
      "  (b) the naive way",
      set.naive.map(sum),
      `${relative(set.naive.map(sum))}${set.naive.length === ours.length ? "" : `, ${set.naive.length} runs`}`,
    ),
    ...NAIVE_STEPS.map((step) =>
      row(
        `    ${step}`,
        set.naive.map((times) => times[step]),
      ),
    ),
    ...(set.tree === null ? [] : [treeLine(set.tree.differing)]),
    "",
  ];
}

/** Python's byte code holds a checksum of its source where SOURCE_DATE_EPOCH is set, as we do, and the time of it otherwise. */
function treeLine(differing: readonly string[]): string {
  const others = differing.filter((path) => !path.endsWith(".pyc")).length;
  return `  paths that differ from (b)'s commit: ${others}, and ${differing.length - others} of Python's byte code (all in the JSON file)`;
}

function daemonLines(daemon: DaemonMeasurements): string[] {
  const watched = (name: string, { status, loop }: Watched): string[] => [
    `  ${name.padEnd(22)} p50 ${ms(status.p50Ms)}  p99 ${ms(status.p99Ms)}  max ${ms(status.maxMs)}  of ${status.count}; the pollers' own loop is late by p99 ${ms(status.ownDelayP99Ms)}`,
    `  ${"  event loop is late by".padEnd(22)} p50 ${ms(loop.p50Ms)}  p99 ${ms(loop.p99Ms)}  max ${ms(loop.maxMs)}`,
  ];
  const memory = (name: string, { rss, peak }: Memory): string => `  ${name.padEnd(44)} ${rss.toFixed(1)} MiB, at most ${peak.toFixed(1)} MiB`;
  return [
    `Status over D-Bus, ${POLLERS} connections asking ${CALLS_A_SECOND} times a second each`,
    ...watched("idle", daemon.idle),
    ...watched(`installing the ${WATCHED_SET}`, daemon.installing),
    "",
    "The daemon and the command line",
    memory("resident, idle after its start", daemon.idleMemory),
    memory(`resident, after ${daemon.mixCount} transactions`, daemon.mixMemory),
    memory("resident, after the pollers", daemon.memoryAfterPolls),
    row("  `apt-ostree status`", daemon.commandMs),
  ];
}

function row(name: string, values: readonly number[], note = ""): string {
  const { median: middle, min, max } = summarize(values);
  return `${name.padEnd(38)} ${s(middle).padStart(7)}  (${s(min)} - ${s(max)})${note === "" ? "" : `  ${note}`}`;
}

function s(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(2);
}

function ms(milliseconds: number): string {
  return `${milliseconds.toFixed(1)} ms`;
}

function ratio(value: number, other: number): string {
  return `${(value / other).toFixed(2)} x`;
}
