/** One request again and again, each time with the same blow one call later, until it comes to its end untouched. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { AptOstreeError, type ErrorCode } from "../../src/model/errors.ts";
import type { Deployment } from "../../src/model/sysroot.ts";
import type { World } from "../harness/world.ts";
import { expectSurvived, observe } from "./check.ts";
import { runClient } from "./clients.ts";
import { type Blow, daemonIsGone, inject, type JournalCall } from "./injection.ts";
import { Ledger } from "./ledger.ts";
import type { Archive } from "./packages.ts";
import type { Scenario } from "./scenarios.ts";
import { loseLastCommit } from "./wal.ts";

/** What is struck, and how far to go. */
export interface Sweep {
  readonly scenario: Scenario;
  readonly call: JournalCall;
  readonly blow: Blow;
  /** The first call that is struck, and how many calls further the next one is. */
  readonly from?: number;
  readonly step?: number;
  /** Killed at a sync: what was written and not synced is lost, as when the power fails. */
  readonly loses?: boolean;
  /** After that many blows it is enough, wherever the request has come to by then. */
  readonly atMost?: number;
  readonly say?: (line: string) => void;
}

/** More calls on the journal than any one request makes. */
const MAX_CALLS = 400;
const REQUEST_TIMEOUT_MS = 180_000;
/** A disk that failed may refuse a request, or fail it, and says so. */
const DISK_ERRORS: readonly ErrorCode[] = ["NoSpace", "Internal"];

/** Strikes; after each blow the next daemon must make good all that was promised. Gives how many blows there were. Throws an assertion. */
export async function sweep(
  world: World,
  archive: Archive,
  { scenario, call, blow, loses = false, from = 1, step = 1, atMost = MAX_CALLS, say = () => {} }: Sweep,
): Promise<number> {
  const isKill = blow.startsWith("signal");
  for (let blows = 0; blows < atMost; blows++) {
    const when = from + blows * step;
    if (when > MAX_CALLS) throw new Error(`${scenario.name} does not come to an end: ${blow} at ${call} ${when}`);
    const { wish, isDone } = await scenario.begin(world, archive);
    const before = await observe(world);
    const ledger = new Ledger(isKill ? [] : DISK_ERRORS);
    const injector = await inject(world.host, { call, blow, when });
    const client = runClient(world.host.bus, "sweep", [{ afterMs: 0, does: wish }], ledger);
    try {
      await untilOver(world, client);
    } finally {
      await injector.stop();
    }
    const { struck } = injector;
    if (struck) await restart(world, loses);
    await client;
    const views = await expectSurvived(world, before, ledger, false);
    const outcome = views.map(({ state, error }) => error?.code ?? state).join() || ledger.refusals.join();
    say(`${scenario.name}: ${blow} at ${call} ${when}: ${struck ? outcome : "not reached"}`);
    const about = `${scenario.name}, ${blow} at ${call} ${when}`;
    if (isKill && views.some(({ state }) => state !== "finished")) throw new Error(`${about}: ${outcome}`);
    const after = await world.deployments();
    const finished = views.some(({ state }) => state === "finished");
    if (finished && !isDone(before.deployments, after)) throw new Error(`${about}: it finished, and its effect is not there once`);
    const failed = views.some(({ state }) => state === "failed");
    if (failed && wish.kind !== "cleanup") expect(idsOf(after), `${about}: deployments of a request that failed`).toEqual(idsOf(before.deployments));
    if (!struck) return blows;
  }
  return atMost;
}

function idsOf(deployments: readonly Deployment[]): string[] {
  return deployments.map(({ id }) => id);
}

/** The request has ended, or the daemon has. */
async function untilOver(world: World, client: Promise<void>): Promise<void> {
  let over = false;
  const done = client.then(
    () => {
      over = true;
    },
    () => {
      over = true;
    },
  );
  const deadline = Date.now() + REQUEST_TIMEOUT_MS;
  while (!over && !(await daemonIsGone(world.host))) {
    if (Date.now() > deadline) throw new AptOstreeError("Timeout", "cannot wait for the request: neither it nor the daemon came to an end");
    await Promise.race([done, sleep(50)]);
  }
}

/** A daemon whose disk failed may live on, and is ended as its service manager would end it. */
async function restart(world: World, loses: boolean): Promise<void> {
  await world.host.killDaemon("SIGTERM");
  await world.expectQuiet(10_000);
  if (loses) await loseLastCommit(world.host);
  await world.startDaemon();
}
