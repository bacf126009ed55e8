/** A lock file between processes: flock(1) on a descriptor of ours, so that the kernel frees it when we die, however that is. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import { AptOstreeError } from "../model/errors.ts";

/** Runs `work` while holding the lock file, which is created where it is absent. Throws Busy when it is held for too long. */
export async function withLock<T>(path: string, timeoutS: number, work: () => Promise<T>): Promise<T> {
  const file = await open(path, "a");
  try {
    await take(file, path, timeoutS);
    return await work();
  } finally {
    await file.close();
  }
}

/** The lock belongs to the open file description, so it stays ours after the child that took it has ended. */
async function take(file: FileHandle, path: string, timeoutS: number): Promise<void> {
  const child = spawn("flock", ["--exclusive", "--timeout", String(timeoutS), "3"], { stdio: ["ignore", "ignore", "ignore", file.fd] });
  const [status] = (await once(child, "close")) as [number | null];
  if (status !== 0) throw new AptOstreeError("Busy", `cannot lock ${path}: another command holds it for more than ${timeoutS} s`);
}
