/** What a simulated host goes through. */
import { AptOstreeError } from "../../src/model/errors.ts";
import { makeRequest } from "../../src/model/request.ts";
import type { Caller, Request } from "../../src/model/transaction.ts";
import { Host, someRequest } from "./life.ts";

/** Every way in which a journal transition can go wrong. */
export const FAULTS = ["throw", "child", "daemon", "daemon-after", "SIGTERM", "ENOSPC", "EIO"] as const;
export type Fault = (typeof FAULTS)[number];

const caller = (uid: number): Caller => ({ sender: `:1.${uid}`, uid, pid: 1, agent: "simulated" });

/** What came of a scenario. */
export interface Outcome {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly eventHash: string;
  readonly events: number;
  readonly lives: number;
  readonly commits: number;
  readonly simulatedMs: number;
}

function outcomeOf(seed: number, host: Host): Outcome {
  const { violations, eventHash, events, lives } = host;
  return { seed, violations, eventHash, events, lives, commits: host.disk.commits, simulatedMs: host.clock.monotonicMs() };
}

/** A busy hour: several people, programs and timers, cancels, other programs that write, and daemons that die at any moment. */
export async function busyHour(seed: number): Promise<Outcome> {
  const host = new Host(seed);
  const { random, clock } = host;
  await host.start();
  for (let step = 0; step < 150; step += 1) {
    const known = [...host.acknowledged];
    const uid = random.pick([0, 1000, 1001]);
    const chance = random.next();
    if (chance < 0.6) {
      const scheduling = {
        requestClass: random.pick(["interactive", "gui", "timer"] as const),
        noWait: random.chance(0.1),
        waitTimeoutMs: random.chance(0.1) ? 5000 : 0,
      };
      host.submit(someRequest(random, known), caller(uid), scheduling.noWait ? { ...scheduling, waitTimeoutMs: 0 } : scheduling);
    } else if (chance < 0.8 && known.length > 0) host.cancel(random.pick(known.slice(-8)), caller(uid));
    else if (chance < 0.83) host.engines?.interfere();
    else if (chance < 0.88) await host.terminate();
    else if (chance < 0.93) host.kill();
    else if (chance < 0.96) await host.reboot(random.chance(0.5));
    await clock.run(() => false, random.chance(0.5) ? random.between(0, 50) : random.between(0, 90_000));
    if (host.scheduler === null) await host.start();
  }
  await host.settle();
  return outcomeOf(seed, host);
}

/** Runs one request, hurt by a fault at its K-th commit, and by the same again at a commit of the recovery where `again` says so. */
export async function hurtAt(seed: number, request: Request, fault: Fault, at: number, again: number): Promise<Outcome & { readonly hurt: boolean }> {
  const host = new Host(seed);
  await host.start();
  const first = host.disk.commits;
  const marks = new Set(again > 0 ? [first + at, first + at + again] : [first + at]);
  let hurt = false;
  host.disk.beforeCommit = (number) => {
    if (!marks.delete(number)) return true;
    hurt = true;
    return strike(host, fault);
  };
  // Something to go back to, and to take away.
  host.submit(makeRequest("install", { packages: ["vim"] }), caller(0));
  host.submit(request, caller(1000));
  for (let lives = 0; lives < 8; lives += 1) {
    await host.clock.run(() => host.scheduler === null || host.scheduler.idle, 3_600_000);
    if (host.scheduler !== null) break;
    await host.start();
  }
  await host.settle();
  return { ...outcomeOf(seed, host), hurt };
}

/** Whether the commit goes on. */
function strike(host: Host, fault: Fault): boolean {
  const victim = host.scheduler;
  const killLater = (delayMs: number): void => {
    host.clock.after(delayMs, () => {
      if (host.scheduler === victim) host.kill();
    });
  };
  switch (fault) {
    case "throw":
    case "child":
      if (host.engines !== null) host.engines.mischief.next = fault;
      return true;
    case "daemon":
      host.kill();
      return false;
    case "daemon-after":
      // Durable, and nobody was told.
      killLater(0);
      return true;
    case "SIGTERM":
      host.scheduler?.close();
      killLater(500);
      return true;
    case "ENOSPC":
      throw new AptOstreeError("NoSpace", "cannot use the journal: the file system is full");
    case "EIO":
      throw new AptOstreeError("Internal", "cannot use the journal: I/O error");
  }
}

/** A quiet year: a timer's prefetch four times a day, a person now and then, a reboot or a crash each month. */
export async function quietYear(seed: number): Promise<Outcome> {
  const host = new Host(seed);
  const { random, clock } = host;
  await host.start();
  const hour = 3_600_000;
  for (let day = 0; day < 365; day += 1) {
    for (let quarter = 0; quarter < 4; quarter += 1) {
      host.submit(makeRequest("prefetch"), caller(0), { requestClass: "timer" });
      if (random.chance(0.4)) host.submit(someRequest(random, [...host.acknowledged].slice(-20)), caller(1000));
      await clock.run(() => false, 6 * hour);
      // A daemon with nothing to do ends by itself, and is started by the next call.
      if (random.chance(1 / 60) || host.scheduler === null) {
        await host.reboot(random.chance(0.5));
        await host.start();
      }
    }
  }
  await host.settle();
  return outcomeOf(seed, host);
}
