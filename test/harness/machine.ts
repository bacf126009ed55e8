/** The machine that the tests run on, as far as a sandboxed host must not touch it. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { exec } from "../../src/engines/exec.ts";

/** A value that changes when dpkg's database, /boot, /etc or the mounts of this machine do; a test may mount something in its own directory. */
export async function machineState(): Promise<{ dpkg: string; files: string; mounts: string }> {
  const { stdout: files } = await exec("find", ["/boot", "/etc", "-printf", "%p %y %s %T@ %l\\n"]);
  const status = await readFile("/var/lib/dpkg/status").catch(() => Buffer.alloc(0));
  return {
    dpkg: createHash("sha256").update(status).digest("hex"),
    files: files.split("\n").sort().join("\n"),
    mounts: (await readFile("/proc/self/mountinfo", "utf8"))
      .split("\n")
      .filter((line) => !line.includes("/.sandbox/test/"))
      .join("\n"),
  };
}
