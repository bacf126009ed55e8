/** The daemon under observation: latency of its answers, its memory, and how late its event loop runs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { DaemonClient } from "../../src/dbus/client.ts";
import { exec } from "../../src/engines/exec.ts";
import type { LoopDelay } from "../../src/loopdelay.ts";
import { checkoutRoot } from "../../src/sandbox/layout.ts";
import { timed } from "./chroot.ts";
import { daemonPid, runTransaction } from "./host.ts";
import type { BenchHost } from "./places.ts";
import type { PollReport } from "./pollers.ts";

/** As many as a desktop with a careless update checker in every session would have. */
export const POLLERS = 50;
export const CALLS_A_SECOND = 5;

/** What was seen while pollers asked. */
export interface Watched {
  readonly status: PollReport;
  readonly loop: LoopDelay;
}

/** Runs `work` while 50 connections of another process ask for the status. */
export async function watchStatus(bench: BenchHost, work: () => Promise<unknown>): Promise<Watched> {
  await readLoopDelay(bench);
  const script = join(checkoutRoot(), "dist/test/bench/pollers.js");
  const child = spawn(process.execPath, [script, bench.host.bus, String(POLLERS), String(CALLS_A_SECOND)], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  try {
    await once(lines, "line");
    const last = once(lines, "line");
    await work();
    child.stdin.end();
    const [text] = (await Promise.race([last, once(child, "close").then(() => ["null"])])) as [string];
    const status = JSON.parse(text) as PollReport | null;
    if (status === null) throw new Error("cannot measure: the pollers ended without a report");
    return { status, loop: await readLoopDelay(bench) };
  } finally {
    child.kill();
  }
}

/** How late the daemon's event loop was since this was last asked. */
async function readLoopDelay(bench: BenchHost): Promise<LoopDelay> {
  const path = join(bench.host.layout.run, "loop.json");
  await rm(path, { force: true });
  process.kill(await daemonPid(bench), "SIGUSR2");
  for (let tries = 0; tries < 100; tries++) {
    const text = await readFile(path, "utf8").catch(() => "");
    if (text !== "") return JSON.parse(text) as LoopDelay;
    await sleep(50);
  }
  throw new Error(`cannot measure the event loop: the daemon did not write ${path}`);
}

/** Memory of a process, in MiB (proc_pid_status(5)). */
export interface Memory {
  readonly rss: number;
  /** The most it ever had. */
  readonly peak: number;
}

/** The daemon's memory now. */
export async function daemonMemory(bench: BenchHost): Promise<Memory> {
  const text = await readFile(`/proc/${await daemonPid(bench)}/status`, "utf8");
  const mib = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN) / 1024;
  return { rss: mib("VmRSS"), peak: mib("VmHWM") };
}

/** Wall times of `apt-ostree status`, in milliseconds. */
export async function statusCommands(bench: BenchHost, count: number): Promise<number[]> {
  const times: number[] = [];
  const args = [join(checkoutRoot(), "dist/src/cli.js"), "status"];
  for (let i = 0; i < count; i++) times.push(await timed(() => exec(process.execPath, args, { env: { APT_OSTREE_BUS: bench.host.bus } })));
  return times;
}

/** A mix of transactions whose layers are remembered after the first round: installs, an uninstall, rollbacks. */
export async function runMix(client: DaemonClient, count: number, packages: readonly string[]): Promise<void> {
  const round = [
    { kind: "install", packages: ["hello"] },
    { kind: "install", packages },
    { kind: "uninstall", packages: ["hello"] },
    { kind: "rollback" },
    { kind: "install", packages: ["hello"] },
    { kind: "rollback" },
  ];
  for (let i = 0; i < count; i++) {
    const submission = round[i % round.length];
    if (submission !== undefined) await runTransaction(client, submission);
  }
}
