/** The daemon's service on a private bus, with a scheduler that only remembers, and ways to call it. */
import { execFile } from "node:child_process";
import { pino } from "pino";
import { Bus } from "../../src/dbus/bus.ts";
import { ReadingLimits } from "../../src/dbus/limits.ts";
import { type Service, startService } from "../../src/dbus/service.ts";
import { Metrics } from "../../src/metrics.ts";
import type { TestBus } from "./bus.ts";
import { MemoryInspection, MemoryRemotes } from "./memory-reading.ts";
import { MemoryScheduler } from "./memory-scheduler.ts";

/** A running service. */
export interface TestService extends Pick<Service, "idleSinceMs" | "leave"> {
  readonly scheduler: MemoryScheduler;
  readonly inspection: MemoryInspection;
  readonly remotes: MemoryRemotes;
  readonly metrics: Metrics;
  /** The service's own connection. */
  readonly bus: Bus;
  /** Every line that was logged. */
  readonly logged: Record<string, unknown>[];
  /** Ends it as a daemon that is stopped does. */
  stop(): Promise<void>;
}

/** Starts a service; a given scheduler is what a restarted daemon finds in its journal. */
export async function startTestService(on: TestBus, scheduler = new MemoryScheduler(), limits = new ReadingLimits()): Promise<TestService> {
  const logged: Record<string, unknown>[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const metrics = new Metrics();
  const inspection = new MemoryInspection();
  const remotes = new MemoryRemotes();
  const bus = await Bus.connect(on.address);
  try {
    const service = await startService({ bus, scheduler, inspection, remotes, log, version: "1.2.3", metrics, limits });
    return {
      scheduler,
      inspection,
      remotes,
      metrics,
      bus,
      logged,
      idleSinceMs: () => service.idleSinceMs(),
      leave: () => service.leave(),
      async stop(): Promise<void> {
        await service.close();
        await bus.close();
      },
    };
  } catch (error) {
    await bus.close();
    throw error;
  }
}

/** What a program printed and how it ended. */
export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    execFile(
      command,
      args,
      { env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8", ...env }, timeout: 120_000 },
      (error, stdout, stderr) => {
        if (error !== null && typeof error.code !== "number") reject(error);
        else resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });
}

/** Runs busctl against a bus. */
export function busctl(on: TestBus, ...args: readonly string[]): Promise<Ran> {
  return run("busctl", [`--address=${on.address}`, "--no-pager", ...args]);
}
