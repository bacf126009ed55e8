/** A client of the campaigns: asks, follows what it asked for, and cancels what others asked for. */
import { setTimeout as sleep } from "node:timers/promises";
import { DaemonClient } from "../../src/dbus/client.ts";
import { AptOstreeError, type ErrorCode } from "../../src/model/errors.ts";
import type { Ledger } from "./ledger.ts";
import { type Action, type Wish, wordsOf } from "./plan.ts";

/** A daemon that is not there or is ending may say so, and a cancel may come too late; any other refusal is a violation. */
const REFUSALS: readonly ErrorCode[] = ["Unavailable", "Busy", "TooLate"];
/** How long a follower waits for the next daemon. */
const PATIENCE_MS = 120_000;

/** Does what the actions say, one after the other, and ends when everything that was accepted has ended. */
export async function runClient(bus: string, name: string, actions: Iterable<Action> | AsyncIterable<Action>, ledger: Ledger): Promise<void> {
  const client = await DaemonClient.connect(bus, { patienceMs: PATIENCE_MS });
  const following: Promise<void>[] = [];
  try {
    for await (const { afterMs, does } of actions) {
      await sleep(afterMs);
      try {
        if ("cancels" in does) await cancelOne(client, does.cancels, ledger);
        else following.push(follow(client, await submit(client, name, does, ledger), ledger));
      } catch (error) {
        const refusal = `${"cancels" in does ? "cancel" : wordsOf(does)}: ${error instanceof AptOstreeError ? error.code : String(error)}`;
        if (!(error instanceof AptOstreeError) || ![...REFUSALS, ...ledger.excused].includes(error.code)) throw error;
        ledger.refusals.push(refusal);
      }
    }
    await Promise.all(following);
  } finally {
    await client.close();
    await Promise.allSettled(following);
  }
}

async function submit(client: DaemonClient, agent: string, wish: Wish, ledger: Ledger): Promise<string> {
  // Noted before it is asked: the daemon may take it and die before it can say so.
  ledger.wishes.push(wish);
  const id = await client.submit({ ...wish, agent });
  ledger.accept(id);
  return id;
}

async function cancelOne(client: DaemonClient, share: number, ledger: Ledger): Promise<void> {
  const id = ledger.accepted[Math.floor(share * ledger.accepted.length)];
  if (id !== undefined) await client.cancel(id);
}

async function follow(client: DaemonClient, id: string, ledger: Ledger): Promise<void> {
  let ends = 0;
  for await (const event of client.follow(id)) {
    if (event.kind !== "finished") continue;
    ends += 1;
    ledger.told(event.view);
  }
  if (ends !== 1) throw new Error(`the end of transaction ${id} was told ${ends} times`);
}
