/** strace(1) on a daemon that runs: at exactly one call on its journal the daemon is killed, or its disk fails. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DAEMON_STATE, type SandboxHost } from "../../src/sandbox/host.ts";
import { eventually, isAlive } from "../../src/sandbox/processes.ts";

/** The call that is watched: a write into the journal's log, or the sync that makes what was written durable. */
export type JournalCall = "pwrite64" | "fsync";

/** What happens at the call. */
export type Blow = "signal=KILL" | "error=EIO" | "error=ENOSPC";

/** A blow at the K-th call from now on. */
export interface Injection {
  readonly call: JournalCall;
  readonly blow: Blow;
  /** From 1. */
  readonly when: number;
}

/** An injection that waits for its moment. */
export interface Injector {
  /** Whether it has struck. */
  readonly struck: boolean;
  /** Takes strace off the daemon. */
  stop(): Promise<void>;
}

const ATTACH_TIMEOUT_MS = 60_000;

/** Attaches to the daemon of a host. Its children and its main thread run at full speed: only other threads write the journal. Throws where it cannot. */
export async function inject(host: SandboxHost, { call, blow, when }: Injection): Promise<Injector> {
  const pid = (await host.processes())?.daemon ?? null;
  if (pid === null) throw new Error("cannot attach to the daemon: it does not run");
  const threads = await journalThreads(pid);
  const paths = ["", "-wal"].map((suffix) => `--trace-path=${DAEMON_STATE}/journal.db${suffix}`);
  const args = [...threads.map((tid) => `--attach=${tid}`), ...paths, `--trace=${call}`, `--inject=${call}:${blow}:when=${when}`];
  const child = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"], env: { PATH: process.env.PATH, LC_ALL: "C" } });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  const ended = once(child, "close");
  const attached = async (): Promise<boolean> => said.split(" attached").length > threads.length || child.exitCode !== null;
  if (!(await eventually(attached, ATTACH_TIMEOUT_MS)) || child.exitCode !== null) {
    child.kill("SIGKILL");
    throw new Error(`cannot attach strace to the daemon: ${said.trim() || "it said nothing"}`);
  }
  return {
    get struck() {
      return /\(INJECTED\)|killed by SIGKILL/.test(said);
    },
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** Whether the daemon that ran is gone. */
export async function daemonIsGone(host: SandboxHost): Promise<boolean> {
  const pid = (await host.processes())?.daemon ?? null;
  return pid === null || !(await isAlive(pid));
}

/** The daemon's threads but for the main one and those of libuv's pool: the journal's is among them, and node gives it no name of its own. */
async function journalThreads(pid: number): Promise<number[]> {
  const threads: number[] = [];
  for (const tid of (await readdir(`/proc/${pid}/task`)).map(Number)) {
    const name = await readFile(join(`/proc/${pid}/task/${tid}/comm`), "utf8");
    if (tid !== pid && !name.startsWith("libuv-worker")) threads.push(tid);
  }
  return threads;
}
