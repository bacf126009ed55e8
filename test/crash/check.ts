/** What must hold after every round, whatever was struck. */
import { expect } from "vitest";
import { AptOstreeError, type ErrorCode } from "../../src/model/errors.ts";
import type { Deployment } from "../../src/model/sysroot.ts";
import type { TransactionView } from "../../src/model/transaction.ts";
import { eventually } from "../../src/sandbox/processes.ts";
import type { World } from "../harness/world.ts";
import { storedEpoch } from "./journal.ts";
import type { Ledger } from "./ledger.ts";
import { lostResults, unexpectedDeployments } from "./model.ts";

/** What a round begins with. */
export interface Before {
  readonly deployments: readonly Deployment[];
  readonly epoch: number;
}

/** How a round may fail a transaction for reasons of its own: packages that are not installed, nothing to go back to, a cancel, others in between. */
const FAIR: readonly ErrorCode[] = ["NotInstalled", "NotFound", "Cancelled", "Conflict"];
const IDLE_TIMEOUT_MS = 180_000;

/** What there is before a round. */
export async function observe(world: World): Promise<Before> {
  const { snapshot } = await world.status();
  return { deployments: snapshot.deployments, epoch: Math.max(snapshot.epoch, storedEpoch(world.host)) };
}

/** Waits until everything has ended, then looks at all of it. Throws an assertion with what is wrong; gives how the transactions ended. */
export async function expectSurvived(world: World, before: Before, ledger: Ledger, childKilled: boolean): Promise<TransactionView[]> {
  await expectIdle(world);
  const { snapshot } = await world.status();
  expectNone("warnings of the daemon", snapshot.warnings);
  expect(Math.min(snapshot.epoch, storedEpoch(world.host)), "the epoch went down").toBeGreaterThanOrEqual(before.epoch);

  const ended = await lookUp(world, ledger.accepted);
  expectNone("transactions", ledger.contradictions(ended));
  const views = [...ended.values()];
  const unfair = views.filter(
    ({ error }) => error !== null && ![...FAIR, ...ledger.excused].includes(error.code) && !(childKilled && error.code !== "JournalCorrupt"),
  );
  expectNone(
    "failures without a reason",
    unfair.map((view) => `${view.title} (${view.id}): ${view.error?.code}: ${view.error?.message}`),
  );
  expectNone("deployments", unexpectedDeployments(before.deployments, snapshot.deployments, ledger.wishes));
  expectNone("results that are not there", lostResults(snapshot.deployments, ledger.wishes, views));
  await world.host.defaultDeployment();
  await world.expectClean();
  await world.expectAudited();
  return views;
}

/** An assertion that says all that is wrong, however much. */
function expectNone(about: string, wrong: readonly string[]): void {
  expect(wrong.length, [`${about}:`, ...wrong].join("\n")).toBe(0);
}

/** The transactions as the daemon knows them now; those that it does not know are absent. */
async function lookUp(world: World, ids: readonly string[]): Promise<Map<string, TransactionView>> {
  const known = new Map<string, TransactionView>();
  await world.withClient(async (client) => {
    for (const id of ids) {
      try {
        known.set(id, await client.transaction(id));
      } catch (error) {
        if (!(error instanceof AptOstreeError && error.code === "NotFound")) throw error;
      }
    }
  });
  return known;
}

/** Every transaction, also one whose client was never answered, comes to its end. */
async function expectIdle(world: World): Promise<void> {
  let active: string[] = [];
  const idle = await eventually(async () => {
    active = (await world.status()).transactions.map(({ id, title, state, waitingFor }) => `${title} (${id}) is ${state} ${waitingFor}`);
    return active.length === 0;
  }, IDLE_TIMEOUT_MS);
  expect(idle, active.join("\n")).toBe(true);
}
