/** What the daemon holds at a moment, and whether it comes to hold more and more. */
import { readdir, readFile, stat } from "node:fs/promises";
import { withDescendants } from "../harness/traces.ts";
import type { World } from "../harness/world.ts";
import { journalOf } from "./journal.ts";

/** Measured from outside. */
export interface Sample {
  /** Since the soak began, seconds. */
  readonly atS: number;
  /** Resident memory, MiB (proc_pid_status(5)). */
  readonly rss: number;
  /** Open file descriptors. */
  readonly fds: number;
  /** Processes that the daemon started, and theirs. */
  readonly children: number;
  /** Mounts in the daemon's namespace and in that of the host. */
  readonly mounts: number;
  /** The journal's write-ahead log, MiB. */
  readonly wal: number;
  /** Transactions accepted so far. */
  readonly accepted: number;
}

const MIB = 1024 * 1024;

/** How much the least of a row of samples may rise from the third quarter of the soak to the last one: work in between comes and goes, a leak stays. */
const MAX_RISE = { fds: 4, children: 1, mounts: 1, rss: 16 } as const;
/** What is never exceeded, MiB: twice the log's limit (src/store/database.ts), and what a busy daemon needs. */
const MAX_EVER = { wal: 8, rss: 200 } as const;

/** Looks at the daemon. Throws where none runs. */
export async function takeSample(world: World, atS: number, accepted: number): Promise<Sample> {
  const found = await world.host.processes();
  if (found?.daemon == null) throw new Error("the daemon is gone");
  const { first, daemon } = found;
  const status = await readFile(`/proc/${daemon}/status`, "utf8");
  const mountsOf = async (pid: number): Promise<number> => (await readFile(`/proc/${pid}/mountinfo`, "utf8")).split("\n").length - 1;
  return {
    atS: Math.round(atS),
    rss: Math.round(Number(/^VmRSS:\s*(\d+)/m.exec(status)?.[1]) / 1024),
    fds: (await readdir(`/proc/${daemon}/fd`)).length,
    children: (await withDescendants([daemon])).length - 1,
    mounts: (await mountsOf(daemon)) + (await mountsOf(first)),
    wal: Math.round(((await stat(`${journalOf(world.host)}-wal`)).size / MIB) * 10) / 10,
    accepted,
  };
}

/** What grew, in words; nothing where all is well. */
export function growthIn(samples: readonly Sample[]): string[] {
  const quarter = Math.floor(samples.length / 4);
  const [third, last] = [samples.slice(-2 * quarter, -quarter), samples.slice(-quarter)];
  const least = (of: readonly Sample[], key: keyof Sample): number => Math.min(...of.map((sample) => sample[key]));
  const most = (key: keyof Sample): number => Math.max(...samples.map((sample) => sample[key]));
  return [
    ...(Object.keys(MAX_RISE) as (keyof typeof MAX_RISE)[])
      .filter((key) => least(last, key) - least(third, key) > MAX_RISE[key])
      .map((key) => `${key} rose from ${least(third, key)} to ${least(last, key)} in the second half; ${MAX_RISE[key]} more are allowed`),
    ...(Object.keys(MAX_EVER) as (keyof typeof MAX_EVER)[])
      .filter((key) => most(key) > MAX_EVER[key])
      .map((key) => `${key} was ${most(key)} MiB; ${MAX_EVER[key]} are allowed`),
  ];
}

/** The head of the table, and a line of it. */
export function tableRow(sample: Sample | null): string {
  const cells = sample === null ? ["seconds", "rss MiB", "fds", "children", "mounts", "wal MiB", "accepted"] : valuesOf(sample);
  return cells.map((cell) => cell.padStart(9)).join("");
}

function valuesOf({ atS, rss, fds, children, mounts, wal, accepted }: Sample): string[] {
  return [atS, rss, fds, children, mounts, wal.toFixed(1), accepted].map(String);
}
