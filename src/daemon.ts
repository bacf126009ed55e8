#!/usr/bin/env node
/** `apt-ostreed`: the only place where engines, store, scheduler and bus meet. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Command, CommanderError, Option } from "commander";
import { readConfig } from "./config.ts";
import { Bus } from "./dbus/bus.ts";
import { startService } from "./dbus/service.ts";
import { prepareControlGroups } from "./engines/cgroup.ts";
import { makeEngines } from "./engines/engines.ts";
import { type OfdLock, takeLock } from "./engines/ofdlock.ts";
import { resolvePaths } from "./engines/paths.ts";
import { watchIdle } from "./idle.ts";
import { makeLog } from "./log.ts";
import { reportLoopDelay } from "./loopdelay.ts";
import { Metrics } from "./metrics.ts";
import { serveMetrics } from "./metricssocket.ts";
import { AptOstreeError, ERRORS, toErrorValue } from "./model/errors.ts";
import { STAGES } from "./model/transaction.ts";
import { release } from "./release.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import { openJournal } from "./store/journal.ts";

interface DaemonOptions {
  readonly sysroot: string;
  readonly bus: string;
  readonly state: string;
  readonly config?: string;
  readonly metricsSocket?: string;
}

async function main(): Promise<void> {
  const options = parseArguments();
  reportLoopDelay();
  const config = await readConfig(options.config);
  const log = makeLog(config.logLevel);
  const fatal = (error: unknown): void => {
    log.fatal({ err: error }, "internal error: the daemon ends; the next one takes up what is unfinished");
    process.exit(ERRORS.Internal.exitStatus);
  };
  process.on("uncaughtException", fatal);
  process.on("unhandledRejection", fatal);

  await prepareControlGroups();
  const paths = await sysrootPaths(options);
  const locks = [await lockFor(join(paths.repo, "extensions/apt-ostree/lock")), await lockFor(join(options.state, "lock"))];
  const engines = await makeEngines(options.sysroot, options.state, config);
  const journal = await openJournal(join(options.state, "journal.db"));
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => randomBytes(16).toString("hex"))).trim();
  const metrics = new Metrics();
  const { keepTransactions, maxTransactionsPerUser: maxActiveOfUser } = config;
  const scheduler = new Scheduler({ engines, journal, log, fatal, bootId, keepTransactions, maxActiveOfUser, meter: metrics });
  addGauges(metrics, scheduler);
  const bus = await Bus.connect(options.bus);
  await scheduler.start();
  const service = await startService({ bus, scheduler, inspection: engines.inspector, remotes: engines.remotes, log, version: release(), metrics });
  const closeMetrics = options.metricsSocket === undefined ? null : await serveMetrics(options.metricsSocket, () => metrics.render());
  log.info({ version: release(), sysroot: options.sysroot, bus: options.bus, state: options.state }, "apt-ostreed serves");

  let stopping = false;
  const stop = async (reason: string, exitStatus: number): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info({ reason }, "apt-ostreed stops");
    stopWatching();
    scheduler.close();
    await closeMetrics?.();
    await service.close();
    await bus.close();
    await journal.close();
    for (const lock of locks) lock.release();
    // Children of unfinished runs die with us (PDEATHSIG); the next daemon takes their runs up again.
    process.exit(exitStatus);
  };
  const idle = { idleMs: config.idleExitMs, idleSinceMs: () => service.idleSinceMs(), leave: () => service.leave(), onError: fatal };
  const stopWatching = config.idleExitMs === 0 ? () => undefined : watchIdle({ ...idle, onLeft: () => void stop("idle", 0).catch(fatal) });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop(signal, 0).catch(fatal));
  const lost = await bus.closed;
  if (lost !== null) await stop(lost.message, 1);
}

/** A daemon that the bus starts may meet the one before it, which is just leaving and has still its locks: it waits for a moment. */
async function lockFor(path: string): Promise<OfdLock> {
  // Set by the bus for what it starts (D-Bus specification, "Message Bus Starting Services").
  const patienceMs = process.env.DBUS_STARTER_ADDRESS === undefined ? 0 : 10_000;
  const deadlineMs = performance.now() + patienceMs;
  for (;;) {
    try {
      return takeLock(path);
    } catch (error) {
      if (!(error instanceof AptOstreeError && error.code === "AlreadyRunning") || performance.now() >= deadlineMs) throw error;
      await setTimeout(100);
    }
  }
}

const ACTIVE_STATES = ["queued", ...STAGES, "cancelling", "rollingBack", "cleaning"];

function addGauges(metrics: Metrics, scheduler: Scheduler): void {
  const active = () => scheduler.status().transactions;
  const byState = () => Object.fromEntries(ACTIVE_STATES.map((state) => [state, active().filter((view) => view.state === state).length]));
  metrics.gauge("active_transactions", "Transactions that have not ended.", byState, "state");
  metrics.gauge("queue_length", "Transactions that wait for others.", () => active().filter(({ position }) => position > 0).length);
  metrics.gauge("epoch", "The epoch of the published snapshot.", () => scheduler.status().snapshot.epoch);
  // The delay of the loop would need a timer of its own, which wakes an idle machine 50 times a second; this needs none.
  metrics.gauge("event_loop_seconds", "How long the main thread has worked.", () => performance.eventLoopUtilization().active / 1000);
  metrics.gauge("resident_bytes", "Memory of the daemon that is in use.", () => process.memoryUsage.rss());
}

function parseArguments(): DaemonOptions {
  const program = new Command("apt-ostreed")
    .description("owns the OSTree sysroot of a Debian host and carries out transactions for clients on D-Bus")
    .version(release())
    .addOption(new Option("--sysroot <dir>", "the sysroot to own").default("/"))
    .addOption(new Option("--bus <address>", 'the bus to serve on: "system" or an address').default("system"))
    .addOption(new Option("--state <dir>", "where journal, package lists and archives are kept").default("/var/lib/apt-ostree"))
    .addOption(new Option("--config <file>", "the configuration file instead of the default one"))
    .addOption(new Option("--metrics-socket <path>", "serve metrics for Prometheus over HTTP on a Unix socket (default: not at all)"))
    .allowExcessArguments(false)
    .exitOverride();
  return program.parse().opts<DaemonOptions>();
}

async function sysrootPaths(options: DaemonOptions) {
  try {
    return await resolvePaths(options.sysroot, options.state);
  } catch (error) {
    throw new AptOstreeError("NotFound", `cannot open the sysroot ${options.sysroot}: ${(error as Error).message}`, { cause: error });
  }
}

main().catch((error: unknown) => {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : ERRORS.InvalidRequest.exitStatus);
  const value = toErrorValue(error);
  process.stderr.write(`apt-ostreed: ${value.message}\n`);
  process.exit(ERRORS[value.code].exitStatus);
});
