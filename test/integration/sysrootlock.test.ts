/** The lock that libostree and everybody who respects it take on a sysroot, held here by a program of another's. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { changeSysroot } from "../../src/engines/ostree/ostree.ts";
import { awaitSysroot } from "../../src/engines/ostree/sysrootlock.ts";
import { type Paths, resolvePaths } from "../../src/engines/paths.ts";
import type { SandboxHost } from "../../src/sandbox/host.ts";
import { makeTestHost } from "../harness/host.ts";

/** Takes the lock as libostree does (F_OFD_SETLKW is 38), says so and keeps it. */
const HOLD = `
  open(my $file, "+>>", $ARGV[0]) or die "$!";
  my $flock = pack("s s x4 q q l x4", 1, 0, 0, 0, 0);
  fcntl($file, 38, $flock) or die "$!";
  $| = 1; print "held\\n"; sleep 600;`;

describe("a sysroot that another program has locked", () => {
  let host: SandboxHost;
  let paths: Paths;
  let lock: string;
  const children: ChildProcess[] = [];
  const orphans: number[] = [];

  beforeAll(async () => {
    host = await makeTestHost({ name: "sysrootlock", noSources: true });
    paths = await resolvePaths(host.layout.sysroot, join(host.layout.directory, "state"));
    lock = join(host.layout.sysroot, "ostree/lock");
  });
  beforeEach(() => rm(lock, { force: true }));
  afterEach(async () => {
    for (const pid of orphans.splice(0)) kill(pid);
    for (const child of children.splice(0)) await end(child);
  });
  afterAll(() => host?.remove());

  /** A program that has the lock. It is a grandchild whose parent is gone: children of this process would be taken for ours. */
  async function hold(): Promise<number> {
    const shell = spawn("sh", ["-c", 'perl -e "$0" "$1" & echo $!', HOLD, lock], { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    shell.stdout?.on("data", (chunk) => {
      said += chunk;
    });
    children.push(shell);
    await expect.poll(() => said, { timeout: 60_000 }).toMatch(/^\d+\nheld\n$|^held\n\d+\n$/);
    const pid = Number(/\d+/.exec(said)?.[0]);
    orphans.push(pid);
    return pid;
  }

  it("is waited for by name, and the wait is over when the holder dies", async () => {
    const pid = await hold();
    const said: (string | null)[] = [];
    let free = false;
    const waiting = awaitSysroot(paths, { signal: new AbortController().signal, waiting: (reason) => said.push(reason) }).then(() => {
      free = true;
    });
    await expect.poll(() => said).toEqual([`the sysroot is locked by perl (pid ${pid})`]);
    await sleep(700);
    expect({ said, free }).toEqual({ said: [`the sysroot is locked by perl (pid ${pid})`], free: false });
    kill(pid);
    await waiting;
    expect(said).toEqual([`the sysroot is locked by perl (pid ${pid})`, null]);
  });

  it("names the holder and not those who wait for it too", async () => {
    const pid = await hold();
    const second = spawn("ostree", ["admin", "cleanup", `--sysroot=${host.layout.sysroot}`], { stdio: "ignore" });
    try {
      await sleep(300);
      const stop = new AbortController();
      const said: (string | null)[] = [];
      const waiting = awaitSysroot(paths, { signal: stop.signal, waiting: (reason) => said.push(reason) });
      await expect.poll(() => said).toEqual([`the sysroot is locked by perl (pid ${pid})`]);
      stop.abort();
      await expect(waiting).rejects.toMatchObject({ code: "Cancelled" });
    } finally {
      await end(second);
    }
  });

  it("is no longer waited for by who is cancelled, at once", async () => {
    const pid = await hold();
    const stop = new AbortController();
    const said: (string | null)[] = [];
    const waiting = awaitSysroot(paths, { signal: stop.signal, waiting: (reason) => said.push(reason) });
    await expect.poll(() => said).toHaveLength(1);
    stop.abort();
    await expect(waiting).rejects.toMatchObject({
      code: "Cancelled",
      message: `cancelled while the sysroot is locked by perl (pid ${pid})`,
    });
    await expect(awaitSysroot(paths, { signal: stop.signal, waiting: () => undefined })).rejects.toMatchObject({ code: "Cancelled" });
  });

  it("stops ostree in time, with the holder's name", async () => {
    const pid = await hold();
    await expect(changeSysroot(paths, "clean up the sysroot", ["cleanup"], { timeoutMs: 500 })).rejects.toMatchObject({
      code: "Timeout",
      message: `cannot clean up the sysroot: it took longer than 0.5 s, and the sysroot is locked by perl (pid ${pid})`,
    });
    kill(pid);
    await changeSysroot(paths, "clean up the sysroot", ["cleanup"]);
  });

  it("is not waited for where the lock is only left lying there, is our own child's, or is not there", async () => {
    const free = (): Promise<void> =>
      awaitSysroot(paths, {
        signal: AbortSignal.timeout(60_000),
        waiting: (reason) => {
          throw new Error(`waits: ${reason}`);
        },
      });
    expect(existsSync(lock)).toBe(false);
    await free();
    await writeFile(lock, "");
    await free();
    const child = spawn("perl", ["-e", HOLD, lock], { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    await once(child.stdout as NonNullable<typeof child.stdout>, "data");
    await free();
  });
});

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
