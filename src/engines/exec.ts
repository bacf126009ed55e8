/**
 * The one way to run a child process: argument vector only, standard input closed, `LC_ALL=C.UTF-8`, its own process group
 * that dies with us (setpriv(1) `--pdeathsig`), cancelled with TERM and then KILL to the whole group.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { getPriority } from "node:os";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { AptOstreeError } from "../model/errors.ts";

/** How a child is run. */
export interface ExecOptions {
  readonly signal?: AbortSignal;
  readonly cwd?: string;
  /** Added to a minimal environment (PATH, LC_ALL, HOME); the daemon's own environment is not passed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called for each line of standard output and standard error, as it comes. */
  readonly onLine?: (line: string, stream: "stdout" | "stderr") => void;
  /** Called for each line that the child writes to file descriptor 3 (apt's and dpkg's status). */
  readonly onStatusLine?: (line: string) => void;
  /** Called with the id of the child, which is that of its process group, too. */
  readonly onStart?: (pid: number) => void;
  /** No limit where it is absent. */
  readonly timeoutMs?: number;
  /** How long TERM may take before KILL. */
  readonly killAfterMs?: number;
  /** Bytes of standard output to keep; more than that is an error. */
  readonly maxOutputBytes?: number;
  /** Background work until this fires: run under nice(1) and the idle I/O class (ionice(1)), and raised then with all its children. */
  readonly awaited?: AbortSignal;
  /** The exit statuses that are no error; 0 where it is absent. */
  readonly okStatuses?: readonly number[];
}

/** What a child that ended well left. */
export interface ExecResult {
  readonly status: number;
  readonly stdout: string;
  /** The last lines of standard error. */
  readonly stderr: string;
}

/** A child that ended with a status that is not among the allowed ones, or by a signal. */
export class ExecError extends Error {
  readonly command: string;
  readonly status: number | null;
  readonly killedBy: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;

  constructor(command: string, status: number | null, killedBy: NodeJS.Signals | null, stdout: string, stderr: string) {
    const why = killedBy === null ? `status ${status}` : `killed by ${killedBy}`;
    const last = lastLines(stderr === "" ? stdout : stderr, 3);
    super(`${command} ended with ${why}${last === "" ? "" : `: ${last}`}`);
    this.name = "ExecError";
    this.command = command;
    this.status = status;
    this.killedBy = killedBy;
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

const STDERR_TAIL_BYTES = 64 * 1024;
const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const DEFAULT_KILL_AFTER_MS = 3000;
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Runs a command to its end. Throws `ExecError` for a bad exit, `AptOstreeError` Cancelled when the signal fires and Timeout
 * when the limit passes; in both cases only after the whole process group is gone.
 */
export async function exec(command: string, args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  options.signal?.throwIfAborted();
  const child = start(command, args, options);
  if (child.pid !== undefined) options.onStart?.(child.pid);
  const stop = (): void => killGroup(child, options.killAfterMs ?? DEFAULT_KILL_AFTER_MS);
  let timedOut = false;
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true;
          stop();
        }, options.timeoutMs);
  options.signal?.addEventListener("abort", stop, { once: true });
  let raising = Promise.resolve();
  const raise = (): void => {
    raising = raiseGroup(child);
  };
  options.awaited?.addEventListener("abort", raise, { once: true });
  try {
    const result = await collect(child, command, options);
    if (timedOut)
      throw new AptOstreeError("Timeout", `cannot finish ${command}: it took longer than ${Math.round((options.timeoutMs ?? 0) / 1000)} s`);
    if (options.signal?.aborted === true) throw new AptOstreeError("Cancelled", `cancelled while ${command} ran`);
    const ok = options.okStatuses ?? [0];
    if (result.status === null || !ok.includes(result.status))
      throw new ExecError(command, result.status, result.killedBy, result.stdout, result.stderr);
    return { status: result.status, stdout: result.stdout, stderr: result.stderr };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", stop);
    options.awaited?.removeEventListener("abort", raise);
    await raising;
  }
}

function start(command: string, args: readonly string[], options: ExecOptions): ChildProcess {
  const argv = [
    "--pdeathsig",
    "KILL",
    "--",
    ...(options.awaited?.aborted === false ? ["nice", "-n", "10", "ionice", "-c", "3"] : []),
    command,
    ...args,
  ];
  return spawn("setpriv", argv, {
    stdio: ["ignore", "pipe", "pipe", options.onStatusLine === undefined ? "ignore" : "pipe"],
    detached: true,
    cwd: options.cwd ?? "/",
    env: { PATH, LC_ALL: "C.UTF-8", HOME: "/root", ...options.env },
  });
}

interface Collected {
  status: number | null;
  killedBy: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

function collect(child: ChildProcess, command: string, options: ExecOptions): Promise<Collected> {
  return new Promise((resolve, reject) => {
    const stdout: Buffer[] = [];
    let stdoutBytes = 0;
    let stderr = "";
    const maxBytes = options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
    child.stdout?.on("data", (chunk: Buffer) => {
      stdoutBytes += chunk.length;
      if (stdoutBytes <= maxBytes) stdout.push(chunk);
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr = (stderr + chunk.toString("utf8")).slice(-STDERR_TAIL_BYTES);
    });
    if (options.onLine !== undefined) {
      const onLine = options.onLine;
      forEachLine(child.stdout, (line) => onLine(line, "stdout"));
      forEachLine(child.stderr, (line) => onLine(line, "stderr"));
    }
    if (options.onStatusLine !== undefined) forEachLine(child.stdio[3] as Readable, options.onStatusLine);
    child.on("error", (error) => reject(new ExecError(command, null, null, "", error.message)));
    child.on("close", (status, killedBy) => {
      if (stdoutBytes > maxBytes) reject(new AptOstreeError("Internal", `internal error: ${command} printed more than ${maxBytes} bytes`));
      else resolve({ status, killedBy, stdout: Buffer.concat(stdout).toString("utf8"), stderr });
    });
  });
}

function forEachLine(stream: Readable | null, onLine: (line: string) => void): void {
  if (stream !== null) createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", onLine);
}

/** TERM to the whole group now, KILL when it has not gone in time. */
function killGroup(child: ChildProcess, killAfterMs: number): void {
  const pid = child.pid;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  signalGroup(pid, "SIGTERM");
  const timer = setTimeout(() => signalGroup(pid, "SIGKILL"), killAfterMs);
  child.once("close", () => clearTimeout(timer));
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Gives the whole group our own priority, and with it its I/O class (ioprio_set(2)); a group that has gone meanwhile needs none. */
async function raiseGroup({ pid }: ChildProcess): Promise<void> {
  if (pid === undefined) return;
  const okStatuses = [0, 1];
  await exec("renice", ["-n", String(getPriority()), "-g", String(pid)], { okStatuses });
  await exec("ionice", ["--class", "none", "--pgid", String(pid)], { okStatuses });
}

/** The last few lines of a text that say something, joined by "; ". */
export function lastLines(text: string, count: number): string {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .slice(-count)
    .join("; ");
}
