/**
 * Where a layer is assembled: a directory of its own, on a tmpfs where memory allows. A tmpfs spares the disk what is only
 * copied into the repository afterwards, and removing it costs nothing. It is mounted in the mount namespace of a small holder
 * process, so it goes when the daemon goes; `/proc/PID/root` (proc(5)) shows it to everybody else.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { removeTree } from "../tree.ts";

/** A place to assemble in. */
export interface Workspace {
  /** The directory as we see it. */
  readonly directory: string;
  /** The directory as a child that runs through `enter` sees it. */
  readonly insideDirectory: string;
  /** Whether it lies in memory. */
  readonly inMemory: boolean;
  /** Put before a command that must see it under `insideDirectory`. */
  readonly enter: readonly string[];
  /** Removes it. */
  close(): Promise<void>;
}

/** Of the available memory, the share that a layer may be expected to fill, and the share at which the tmpfs is full. */
const EXPECTED_SHARE = 0.4;
const LIMIT_SHARE = 0.7;
const MIB = 1024 * 1024;

/** Makes a workspace; in memory where `expectedBytes` fit comfortably, else on the repository's file system. */
export async function openWorkspace(directory: string, expectedBytes: number): Promise<Workspace> {
  await removeTree(directory);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const availableBytes = await availableMemory();
  return expectedBytes < availableBytes * EXPECTED_SHARE
    ? await inMemory(directory, Math.floor((availableBytes * LIMIT_SHARE) / MIB))
    : onDisk(directory);
}

/** A workspace on the repository's file system. */
export function onDisk(directory: string): Workspace {
  return { directory, insideDirectory: directory, inMemory: false, enter: [], close: () => removeTree(directory) };
}

async function inMemory(directory: string, sizeMib: number): Promise<Workspace> {
  const script = 'mount -t tmpfs -o "size=$2m,mode=0700,nodev,nosuid" apt-ostree "$1" && echo ready && exec sleep infinity';
  const argv = [
    "--pdeathsig",
    "KILL",
    "--",
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "--",
    "sh",
    "-c",
    script,
    "holder",
    directory,
    String(sizeMib),
  ];
  const holder = spawn("setpriv", argv, { stdio: ["ignore", "pipe", "pipe"], detached: true, cwd: "/" });
  const ended = once(holder, "exit");
  let said = "";
  holder.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString("utf8");
  });
  await Promise.race([once(holder.stdout, "data"), ended]);
  if (holder.pid === undefined || holder.exitCode !== null) {
    throw new AptOstreeError("Internal", `internal error: cannot mount a tmpfs for the work tree: ${said.trim()}`);
  }
  const pid = holder.pid;
  return {
    directory: join(`/proc/${pid}/root`, directory),
    insideDirectory: directory,
    inMemory: true,
    enter: ["nsenter", `--mount=/proc/${pid}/ns/mnt`, "--"],
    close: async () => {
      if (holder.exitCode === null && holder.signalCode === null) holder.kill("SIGKILL");
      await ended;
      await removeTree(directory);
    },
  };
}

/** `MemAvailable` of proc_meminfo(5), bounded by the memory limit of the daemon's control group where there is one. */
export async function availableMemory(): Promise<number> {
  const text = await readFile("/proc/meminfo", "utf8");
  const availableBytes = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(availableBytes, constrained) : availableBytes;
}
