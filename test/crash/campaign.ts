/** The campaign's rounds: requests at random, and a blow at random among them. */
import { setTimeout as sleep } from "node:timers/promises";
import type { TransactionView } from "../../src/model/transaction.ts";
import type { World } from "../harness/world.ts";
import { expectSurvived, observe } from "./check.ts";
import { runClient } from "./clients.ts";
import { Ledger } from "./ledger.ts";
import type { Archive } from "./packages.ts";
import { describeRound, planRound, type RoundPlan } from "./plan.ts";
import type { Round } from "./run.ts";
import { type Struck, strike } from "./strike.ts";

/** Rounds between two clean-ups of what the rounds gathered, each with a look at every object of the repository. */
const TIDY_EVERY = 5;

/** The round of a seed: the same requests and the same blow whenever it is run. */
export function campaignRound(seed: number, round: number, say: (line: string) => void): Round {
  const plan = planRound(seed, round);
  return {
    name: `round ${round} of seed ${seed}`,
    async run(world, archive) {
      for (const line of describeRound(plan)) say(`  ${line}`);
      await prepare(world, archive, plan, round);
      const before = await observe(world);
      const ledger = new Ledger();
      const clients = Promise.all(plan.clients.map((actions, index) => runClient(world.host.bus, `client ${index + 1}`, actions, ledger)));
      // Either may fail first; both have ended before the host is looked at.
      const [struck, done] = await Promise.allSettled([strikeAfter(world, plan), clients]);
      if (struck.status === "rejected") throw struck.reason;
      if (done.status === "rejected") throw done.reason;
      say(`  ${struck.value.what}`);
      const views = await expectSurvived(world, before, ledger, struck.value.childKilled);
      for (const line of outcomes(views, ledger)) say(`  ${line}`);
      await expectWorks(world, round);
    },
  };
}

async function strikeAfter(world: World, plan: RoundPlan): Promise<Struck> {
  await sleep(plan.strike.afterMs);
  return await strike(world, plan.strike);
}

/** Each round has a package of its own for the installation that shows that everything still works. */
function probeOf(round: number): string {
  return `probe${round}`;
}

async function prepare(world: World, archive: Archive, plan: RoundPlan, round: number): Promise<void> {
  if (plan.reboots) await world.reboot();
  if (plan.newBase) await world.publishBase(`${round + 2}`);
  await archive.publish(plan.newVersions, `${round + 2}`);
  await archive.publish([probeOf(round)], "1");
  if (plan.refreshed || round === 0) await world.ok("refresh-md");
}

/** The next installation works, and now and then everything that gathered is removed again. */
async function expectWorks(world: World, round: number): Promise<void> {
  await world.ok("refresh-md");
  await world.ok("install", probeOf(round));
  if (round % TIDY_EVERY !== TIDY_EVERY - 1) return;
  const layered = (await world.next()).origin.requested.filter((name) => /^probe/.test(name));
  await world.ok("uninstall", ...layered);
  await world.ok("cleanup", "--rollback", "--base");
  await world.expectSound();
}

/** How the requests ended: a count of those that came through, a line for each that did not. */
function outcomes(views: readonly TransactionView[], { refusals }: Ledger): string[] {
  const finished = views.filter(({ state }) => state === "finished").length;
  return [
    `${finished} of ${views.length} accepted requests finished`,
    ...views.flatMap(({ title, error }) => (error === null ? [] : [`${title}: ${error.code}: ${error.message}`])),
    ...refusals.map((refusal) => `refused: ${refusal}`),
  ];
}
