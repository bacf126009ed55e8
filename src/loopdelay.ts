/** A measurement for the benchmark: how late the daemon's event loop is. Nothing runs unless the environment asks, and no bus client can. */
import { renameSync, writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

/** The environment variable that names the file to write. */
export const LOOP_DELAY_FILE = "APT_OSTREE_LOOP_DELAY_FILE";

/** How much later than due timers ran since the last report, in milliseconds. */
export interface LoopDelay {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** How often the loop is looked at: a delay shorter than this may fall between. */
const RESOLUTION_MS = 5;

/** On SIGUSR2 writes a `LoopDelay` as JSON to the file that the environment names, whole or not at all, and starts to count anew. */
export function reportLoopDelay(): void {
  const path = process.env[LOOP_DELAY_FILE];
  if (path === undefined) return;
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  process.on("SIGUSR2", () => {
    // What is recorded is the time between two looks, so the time that was asked for is in it.
    const late = (ns: number): number => Math.max(0, ns / 1e6 - RESOLUTION_MS);
    const report: LoopDelay = {
      count: histogram.count,
      p50Ms: late(histogram.percentile(50)),
      p99Ms: late(histogram.percentile(99)),
      maxMs: late(histogram.max),
    };
    writeFileSync(`${path}.new`, JSON.stringify(report));
    renameSync(`${path}.new`, path);
    histogram.reset();
  });
}
