/**
 * What all scripts of a run may use together: a control group where one can be had. Elsewhere each process has its memory bounded
 * (setrlimit(2)), and the processes are counted, as no limit on their number holds for root.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type GroupLimits, type Limit, openControlGroup, removeControlGroup } from "../cgroup.ts";

/** The bounds of one run. */
export interface Confinement {
  readonly limits: GroupLimits;
  /** Put before a command that is to run within them. */
  readonly enter: readonly string[];
  /** To be told of the process that was started, the first of its process group. */
  onStart(pid: number): void;
  /** The limits that were run into so far. */
  exceeded(): Promise<Limit[]>;
  /** Ends what is still there. */
  close(): Promise<void>;
}

/** Confines a run. */
export async function confine(runId: string, limits: GroupLimits): Promise<Confinement> {
  const group = await openControlGroup(groupName(runId), limits);
  return group === null ? countProcesses(limits) : { limits, ...group, onStart: () => undefined };
}

/** Removes what is left of a run's control group, with the processes in it. */
export async function removeConfinement(runId: string): Promise<void> {
  await removeControlGroup(groupName(runId));
}

function groupName(runId: string): string {
  return `apt-ostree-${runId}`;
}

/** A bomb of shells doubles within milliseconds, but starts no more than some thousands a second. */
const COUNT_INTERVAL_MS = 200;

/** Bounds without a control group. */
export function countProcesses(limits: GroupLimits): Confinement {
  let exceeded = false;
  let timer: NodeJS.Timeout | undefined;
  const watch = (pid: number): void => {
    timer = setTimeout(async () => {
      const count = await descendants(pid);
      if (count === null) return;
      if (count <= limits.processes) return watch(pid);
      exceeded = true;
      killGroup(pid);
    }, COUNT_INTERVAL_MS);
  };
  return {
    limits,
    enter: ["prlimit", `--data=${limits.memoryBytes}`, "--"],
    onStart: watch,
    exceeded: async () => (exceeded ? ["processes"] : []),
    close: async () => clearTimeout(timer),
  };
}

/** How many processes descend from one, itself included; null once it is gone. */
async function descendants(pid: number): Promise<number | null> {
  const children = new Map<number, number[]>();
  const all = (await readdir("/proc")).map(Number).filter((number) => number > 0);
  for (const one of all) {
    const parent = await parentOf(one);
    if (parent !== null) children.set(parent, [...(children.get(parent) ?? []), one]);
  }
  if (!all.includes(pid)) return null;
  const count = (one: number): number => (children.get(one) ?? []).reduce((sum, child) => sum + count(child), 1);
  return count(pid);
}

/** The fourth field of proc_pid_stat(5); the second one may hold anything, in parentheses. */
async function parentOf(pid: number): Promise<number | null> {
  const text = await readFile(join("/proc", String(pid), "stat"), "utf8").catch(() => null);
  return text === null ? null : Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[1]);
}

/** bwrap goes, and with it the first process of its namespace, and with that all others (pid_namespaces(7)). */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
