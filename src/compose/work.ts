/** The directory that one compose works in: locked while it lasts, empty before and after, whatever became of the last one. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, mkdir, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { ExecError, exec } from "../engines/exec.ts";
import { removeTree } from "../engines/tree.ts";
import { AptOstreeError } from "../model/errors.ts";

/** Runs `work` in a fresh directory below `parent`, which is removed afterwards. Throws Busy while another compose works there. */
export async function inWorkDirectory<T>(parent: string, work: (directory: string) => Promise<T>): Promise<T> {
  // apt gives up root for downloading, and its own user has to get at the tree.
  await mkdir(parent, { recursive: true, mode: 0o711 });
  const lock = await takeLock(join(parent, "lock"), parent);
  const directory = join(parent, "work");
  try {
    // One that was killed left its tree here; its mounts and processes ended with it.
    await removeWorkTree(directory);
    await mkdir(directory, { mode: 0o755 });
    try {
      return await work(directory);
    } finally {
      await removeWorkTree(directory);
    }
  } finally {
    await lock.close();
  }
}

/** The lock is of the open file description (flock(2)): ours after the child that took it has ended, and gone when we are. */
async function takeLock(path: string, parent: string): Promise<FileHandle> {
  const file = await open(path, "a", 0o600);
  const child = spawn("flock", ["--exclusive", "--nonblock", "3"], { stdio: ["ignore", "ignore", "ignore", file.fd] });
  const [status] = (await once(child, "close")) as [number | null];
  if (status === 0) return file;
  await file.close();
  throw new AptOstreeError("Busy", `cannot compose in ${parent}: another compose is at work there`, { details: { path } });
}

/** Removes a tree that may hold immutable files (chattr(1)). */
async function removeWorkTree(directory: string): Promise<void> {
  try {
    await removeTree(directory);
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    const present = await readdir(directory);
    // chattr(1) passes over what is no file or directory, and says so by its status.
    if (present.length > 0) await exec("chattr", ["-R", "-f", "-i", "-a", directory], { okStatuses: [0, 1] });
    await removeTree(directory);
  }
}
