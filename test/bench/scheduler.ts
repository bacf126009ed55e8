/**
 * `npm run bench -- scheduler`: what the scheduler and its journal cost by themselves, and what they come to on a booted host, in some
 * minutes. The table goes to standard output, every single measurement to a JSON file.
 */
import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { makeRequest } from "../../src/model/request.ts";
import type { Request } from "../../src/model/transaction.ts";
import { checkoutRoot } from "../../src/sandbox/layout.ts";
import { timed } from "./chroot.ts";
import { type Decisions, measureDecisions } from "./decisions.ts";
import { fillJournal } from "./ended-journal.ts";
import { type HostFigures, measureHost } from "./host-figures.ts";
import type { PollReport } from "./pollers.ts";
import { inDirectory, prefetchOf, SchedulerBench } from "./scheduler-bench.ts";
import { median, percentile } from "./stats.ts";

const NO_OPS = 3000;
const SHARED = 10_000;
const CONCURRENCY = 200;
const AIM_PER_SECOND = 2000;
const LINES = [1000, 10_000, 100_000] as const;
const IDENTICAL = 1000;
const IN_LINE = 1000;
const CANCELS = 200;
const ENDED = 100_000;
const RESTARTS = 3;
/** Places in line are told at the end of a second. */
const PLACES_TOLD_MS = 2500;

/** Transactions from their submission to their end, both of them durable. */
interface Throughput {
  readonly count: number;
  readonly tookMs: number;
  readonly callsPerCommit: number;
}

/** What was measured; times are milliseconds. */
interface SchedulerMeasurements {
  readonly atMs: number;
  readonly machine: { readonly cpus: number; readonly cpu: string; readonly node: string };
  readonly commitMs: readonly number[];
  /** Every one with a run of its own. */
  readonly noOps: Throughput;
  /** The same request of everybody: they share runs. */
  readonly shared: Throughput;
  readonly decisions: readonly Decisions[];
  readonly identical: { readonly runs: number; readonly answeredMs: number };
  readonly cancelMs: readonly number[];
  /** The longest that the event loop was late while so many came and were told their places. */
  readonly lateMs: number;
  readonly restartMs: readonly number[];
  readonly host: HostFigures;
}

/** One line of the table; without an aim it is told for what it is. */
interface Figure {
  readonly name: string;
  readonly measured: string;
  readonly aim?: string;
  readonly met?: boolean;
}

/** Measures, prints and writes all of it. */
export async function benchScheduler(say: (line: string) => void): Promise<void> {
  const sandbox = join(checkoutRoot(), ".sandbox");
  const json = join(sandbox, "bench-scheduler.json");
  const within = <T>(what: string, work: (directory: string) => Promise<T>): Promise<T> => {
    say(what);
    return inDirectory(sandbox, work);
  };
  const atMs = Date.now();
  const { noOps, shared, commitMs } = await within("Transactions with nothing to do", measureNoOps);
  const identical = await within("The same request, a thousand times", measureIdentical);
  const { cancelMs, lateMs } = await within("A thousand in line", measureLine);
  const decisions = await within("Decisions", async (directory) => {
    const bench = await SchedulerBench.start(directory);
    const measured = LINES.map((queued) => measureDecisions(queued, bench.journal));
    await bench.close();
    return measured;
  });
  const restartMs = await within("Restarts", measureRestarts);
  const host = await measureHost(say);
  const machine = { cpus: cpus().length, cpu: cpus()[0]?.model ?? "", node: process.version };
  const measurements: SchedulerMeasurements = { atMs, machine, commitMs, noOps, shared, decisions, identical, cancelMs, lateMs, restartMs, host };
  await writeFile(json, `${JSON.stringify(measurements, null, 1)}\n`);
  process.stdout.write(table(figures(measurements)));
  say(`${((Date.now() - atMs) / 1000).toFixed(0)} s; every measurement is in ${json}`);
}

async function measureNoOps(directory: string): Promise<Pick<SchedulerMeasurements, "noOps" | "shared" | "commitMs">> {
  const bench = await SchedulerBench.start(directory);
  const commitMs: number[] = [];
  for (let n = 0; n < 100; n += 1) commitMs.push(await timed(() => bench.journal.nextEpoch()));
  const noOps = await throughput(bench, NO_OPS, prefetchOf);
  const shared = await throughput(bench, SHARED, () => makeRequest("refresh"));
  await bench.close();
  return { noOps, shared, commitMs };
}

async function throughput(bench: SchedulerBench, count: number, requestOf: (n: number) => Request): Promise<Throughput> {
  const before = bench.journal.counters;
  let next = 0;
  const client = async (uid: number): Promise<void> => {
    while (next < count) {
      next += 1;
      await bench.ended(await bench.submit(requestOf(next), uid));
    }
  };
  const tookMs = await timed(() => Promise.all(Array.from({ length: CONCURRENCY }, (_, uid) => client(uid))));
  const after = bench.journal.counters;
  return { count, tookMs, callsPerCommit: (after.calls - before.calls) / (after.commits - before.commits) };
}

async function measureIdentical(directory: string): Promise<SchedulerMeasurements["identical"]> {
  const bench = await SchedulerBench.start(directory);
  const runs = new Set<string>();
  const answeredMs = await timed(() =>
    Promise.all(
      Array.from({ length: IDENTICAL }, async (_, uid) => {
        const view = await bench.ended(await bench.submit(prefetchOf(0), uid));
        runs.add(view.runId);
      }),
    ),
  );
  await bench.close();
  return { runs: runs.size, answeredMs };
}

async function measureLine(directory: string): Promise<Pick<SchedulerMeasurements, "cancelMs" | "lateMs">> {
  const bench = await SchedulerBench.start(directory);
  bench.engines.hold();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const ids = await Promise.all(Array.from({ length: IN_LINE }, (_, n) => bench.submit(prefetchOf(n), n % 50)));
  await sleep(PLACES_TOLD_MS);
  delay.disable();
  const cancelMs: number[] = [];
  // The last in line: none of them has begun.
  for (const id of ids.slice(-CANCELS)) {
    const startMs = performance.now();
    const ended = bench.ended(id);
    await bench.scheduler.cancel(id, { sender: ":1.1", uid: 0, pid: 1, agent: "bench" });
    await ended;
    cancelMs.push(performance.now() - startMs);
  }
  bench.engines.letGo();
  await Promise.all(ids.slice(0, -CANCELS).map((id) => bench.ended(id)));
  await bench.close();
  return { cancelMs, lateMs: delay.max / 1e6 };
}

async function measureRestarts(directory: string): Promise<number[]> {
  fillJournal(directory, ENDED);
  const tookMs: number[] = [];
  for (let n = 0; n < RESTARTS; n += 1) {
    let bench: SchedulerBench | undefined;
    tookMs.push(
      await timed(async () => {
        bench = await SchedulerBench.start(directory);
      }),
    );
    await bench?.close();
  }
  return tookMs;
}

function figures({ commitMs, noOps, shared, decisions, identical, cancelMs, lateMs, restartMs, host }: SchedulerMeasurements): Figure[] {
  const [short, , long] = decisions.map(({ decideMs }) => percentile(decideMs, 0.99)) as [number, number, number];
  const cancelP99Ms = percentile(cancelMs, 0.99);
  return [
    { name: "one commit of the journal", measured: spread(commitMs) },
    rate("durable no-op transactions, all different", noOps),
    { name: "  calls of the journal for each commit", measured: noOps.callsPerCommit.toFixed(1) },
    rate("durable no-op transactions, all the same", shared),
    { name: "  calls of the journal for each commit", measured: shared.callsPerCommit.toFixed(1) },
    ...decisions.flatMap(({ queued, decideMs, explainMs, endMs }) => [
      {
        name: `a decision, ${queued} in line`,
        measured: spread(decideMs),
        ...(queued === LINES[0] ? { aim: "p99 <= 5 ms", met: short <= 5 } : {}),
      },
      { name: "  to say where a run stands", measured: spread(explainMs) },
      { name: "  to go on after an end", measured: spread(endMs) },
    ]),
    { name: `  p99 at ${LINES[2]} against ${LINES[0]}`, measured: `${(long / short).toFixed(1)} x` },
    { name: `runs of ${IDENTICAL} identical prefetches`, measured: String(identical.runs), aim: "1", met: identical.runs === 1 },
    { name: "  until all are answered", measured: ms(identical.answeredMs) },
    { name: `cancel with ${IN_LINE} in line`, measured: spread(cancelMs), aim: "p99 < 50 ms", met: cancelP99Ms < 50 },
    { name: `event loop late at most, ${IN_LINE} come`, measured: ms(lateMs) },
    {
      name: `start to serving, ${ENDED} transactions ended`,
      measured: `median ${ms(median(restartMs))}`,
      aim: "<= 500 ms",
      met: median(restartMs) <= 500,
    },
    ...hostFigures(host),
  ];
}

function hostFigures({ pollers, idle, installing, windowMs, bareMs, idleRssMiB, idleWakeupsPerS }: HostFigures): Figure[] {
  const status = (name: string, { p50Ms, p99Ms, maxMs }: PollReport, aimMs: number): Figure => {
    return { name, measured: `p50 ${ms(p50Ms)}, p99 ${ms(p99Ms)}, max ${ms(maxMs)}`, aim: `p99 <= ${aimMs} ms`, met: p99Ms <= aimMs };
  };
  const window = (values: readonly number[]): string => `p50 ${ms(percentile(values, 0.5))}, p95 ${ms(percentile(values, 0.95))}`;
  const ratio = percentile(windowMs, 0.95) / percentile(bareMs, 0.95);
  return [
    status(`status, ${pollers} readers, idle`, idle, 10),
    status(`status, ${pollers} readers beside an installation`, installing, 20),
    { name: `the sysroot taken by a deployment, ${windowMs.length} times`, measured: window(windowMs) },
    { name: `  a bare ostree admin deploy, ${bareMs.length} times`, measured: window(bareMs) },
    { name: "  p95 against p95", measured: `${ratio.toFixed(2)} x`, aim: "<= 1.2 x", met: ratio <= 1.2 },
    { name: "idle: memory", measured: `${idleRssMiB.toFixed(1)} MiB` },
    { name: "idle: wake-ups", measured: `${idleWakeupsPerS.toFixed(2)}/s` },
  ];
}

function rate(name: string, { count, tookMs }: Throughput): Figure {
  const perSecond = count / (tookMs / 1000);
  return { name, measured: `${perSecond.toFixed(0)}/s`, aim: `>= ${AIM_PER_SECOND}/s`, met: perSecond >= AIM_PER_SECOND };
}

function table(rows: readonly Figure[]): string {
  const line = (name: string, measured: string, aim: string, met: string): string =>
    `${name.padEnd(46)} | ${measured.padEnd(46)} | ${aim.padEnd(12)} | ${met}`.trimEnd();
  const verdict = ({ met }: Figure): string => (met === undefined ? "" : met ? "met" : "MISSED");
  const lines = rows.map((row) => line(row.name, row.measured, row.aim ?? "", verdict(row)));
  return `${[line("figure", "measured", "aim", "met or MISSED"), ...lines].join("\n")}\n`;
}

function spread(values: readonly number[]): string {
  return `p50 ${ms(percentile(values, 0.5))}, p99 ${ms(percentile(values, 0.99))}, max ${ms(Math.max(...values))}`;
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(3) : value.toFixed(0)} ms`;
}
