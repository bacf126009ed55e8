/** How long the decision about one request takes, with many others in line: nothing here writes to the journal. */
import { performance } from "node:perf_hooks";
import { newId } from "../../src/model/ids.ts";
import type { Request } from "../../src/model/transaction.ts";
import { Admission } from "../../src/scheduler/admission.ts";
import type { Clock } from "../../src/scheduler/clock.ts";
import { Locks } from "../../src/scheduler/locks.ts";
import type { Journal } from "../../src/scheduler/ports.ts";
import { newRunRow } from "../../src/scheduler/rows.ts";
import { Run } from "../../src/scheduler/run.ts";
import type { RunDeps } from "../../src/scheduler/run-deps.ts";
import { SnapshotHolder } from "../../src/scheduler/snapshot.ts";
import { BENCH_BOOT_ID, IdleEngines, prefetchOf } from "./scheduler-bench.ts";

/** Decisions that are timed at each length of the line. */
const TIMED = 300;
const USERS = 50;

/** Milliseconds of single calls, with so many runs in line. */
export interface Decisions {
  readonly queued: number;
  /** To find a newcomer's place, know its run and put it in line. */
  readonly decideMs: readonly number[];
  /** To say where a run stands, and behind whom. */
  readonly explainMs: readonly number[];
  /** To forget a run that has ended, and begin the next. */
  readonly endMs: readonly number[];
}

/** Decides about prefetches of different packages, behind as many others, with all slots taken. */
export function measureDecisions(queued: number, journal: Journal): Decisions {
  const begun: Run[] = [];
  const clock: Clock = { now: () => Date.now(), monotonicMs: () => performance.now(), after: () => () => undefined };
  const admission = new Admission(clock, (run) => begun.push(run));
  const deps = runDepsOf(clock, journal);
  const decide = (run: Run, request: Request, uid: number): void => {
    const place = admission.placeFor(request);
    if (place.meeting !== "new") throw new Error(`internal error: ${request.packages.join()} shares a run`);
    admission.add(run, place.after);
    admission.enqueue(run, { uid });
  };
  const runOf = (n: number): Run =>
    new Run(newRunRow(prefetchOf(n), newId(), { id: newId(), nowMs: clock.now(), bootId: BENCH_BOOT_ID }), "", "timer", deps);
  // To look for a place among all of them would take the benchmark longer than what it is to measure.
  for (let n = 0; n < queued; n += 1) {
    const run = runOf(n);
    admission.add(run);
    admission.enqueue(run, { uid: n % USERS });
  }
  const [decideMs, explainMs, endMs]: [number[], number[], number[]] = [[], [], []];
  for (let n = queued; n < queued + TIMED; n += 1) {
    const run = runOf(n);
    decideMs.push(timedMs(() => decide(run, run.request, n % USERS)));
    explainMs.push(timedMs(() => admission.explain(run)));
    const first = begun.shift();
    if (first !== undefined) endMs.push(timedMs(() => admission.ended(first)));
  }
  return { queued, decideMs, explainMs, endMs };
}

function runDepsOf(clock: Clock, journal: Journal): RunDeps {
  const nothing = (): void => undefined;
  const engines = new IdleEngines();
  return {
    engines,
    journal,
    clock,
    locks: new Locks({ now: () => clock.monotonicMs() }),
    snapshots: new SnapshotHolder(engines, journal, nothing),
    log: { info: nothing, error: nothing },
    meter: { count: nothing, observe: nothing },
    bootId: BENCH_BOOT_ID,
    onState: nothing,
    onProgress: nothing,
    onMessage: nothing,
    onStageDone: nothing,
    onEnd: nothing,
    afterEffect: (_run, write) => write(),
  };
}

function timedMs(work: () => unknown): number {
  const startMs = performance.now();
  work();
  return performance.now() - startMs;
}
