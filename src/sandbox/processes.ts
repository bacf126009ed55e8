/**
 * Which processes belong to a sandbox. The process table is the only record of that: there is no pid file that could be stale after
 * a kill -9 or name a stranger after the numbers wrapped.
 */
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** The processes of one running sandbox; pids are those of this machine. */
export interface SandboxProcesses {
  /** Process 1 of the sandbox's pid namespace. */
  readonly first: number;
  /** The daemon, where one runs. */
  readonly daemon: number | null;
}

const DAEMON_SCRIPT = "/dist/src/daemon.js";

/** Finds the sandbox whose bubblewrap carries `marker` among its arguments; null when it does not run. */
export async function findSandbox(marker: string): Promise<SandboxProcesses | null> {
  const first = await findFirst(marker);
  if (first === null) return null;
  const daemons: number[] = [];
  for (const pid of await membersOf(first)) {
    const argv = await argvOf(pid);
    if (argv[1]?.endsWith(DAEMON_SCRIPT) === true) daemons.push(pid);
  }
  // A child of the daemon has its arguments until it has become another program, and may have the lower number.
  const parents = await Promise.all(daemons.map(parentOf));
  return { first, daemon: daemons.find((_, index) => !daemons.includes(parents[index] ?? 0)) ?? null };
}

/** All processes in the pid namespace of a process, itself included. */
export async function membersOf(first: number): Promise<number[]> {
  const namespace = await pidNamespaceOf(first);
  if (namespace === null) return [];
  return await inNamespace(namespace);
}

/** Kills process 1 of a pid namespace, which ends all others in it (pid_namespaces(7)), and waits until they are gone. */
export async function killNamespace(first: number, timeoutMs: number): Promise<boolean> {
  const namespace = await pidNamespaceOf(first);
  signal(first, "SIGKILL");
  return namespace === null || (await eventually(async () => (await inNamespace(namespace)).length === 0, timeoutMs));
}

/** Sends a signal; a process that is gone already is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Whether a process is there and is no zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  return (await argvOf(pid)).length > 0;
}

/** A variable of a process's initial environment. */
export async function environmentOf(pid: number, name: string): Promise<string | undefined> {
  const text = await read(`/proc/${pid}/environ`);
  return text
    .split("\0")
    .find((entry) => entry.startsWith(`${name}=`))
    ?.slice(name.length + 1);
}

/** Asks again and again, with short pauses, until the answer is yes or the time is up. */
export async function eventually(question: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    if (await question()) return true;
    if (Date.now() >= deadline) return false;
    await sleep(30);
  }
}

async function findFirst(marker: string): Promise<number | null> {
  for (const pid of await pids()) {
    if (!(await argvOf(pid)).includes(marker)) continue;
    const ids = /^NSpid:\s*(.*)$/m.exec(await read(`/proc/${pid}/status`))?.[1]?.split(/\s+/) ?? [];
    if (ids.length >= 2 && ids.at(-1) === "1" && (await isRoot(pid))) return pid;
  }
  return null;
}

async function inNamespace(namespace: string): Promise<number[]> {
  const members: number[] = [];
  for (const pid of await pids()) if ((await pidNamespaceOf(pid)) === namespace) members.push(pid);
  return members;
}

async function pids(): Promise<number[]> {
  return (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** Anybody can write any command line; only root can make one of ours. */
async function isRoot(pid: number): Promise<boolean> {
  return await stat(`/proc/${pid}`).then(
    (s) => s.uid === 0,
    () => false,
  );
}

async function parentOf(pid: number): Promise<number> {
  return Number(/^PPid:\s*(\d+)/m.exec(await read(`/proc/${pid}/status`))?.[1] ?? 0);
}

async function argvOf(pid: number): Promise<string[]> {
  return (await read(`/proc/${pid}/cmdline`)).split("\0").slice(0, -1);
}

async function pidNamespaceOf(pid: number): Promise<string | null> {
  return await readlink(`/proc/${pid}/ns/pid`).catch(() => null);
}

/** Processes come and go while the table is read: one that is gone reads as empty. */
async function read(path: string): Promise<string> {
  return await readFile(path, "utf8").catch(() => "");
}
