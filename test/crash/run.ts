/** Rounds on one host: the first that is violated ends them, with the evidence. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { World } from "../harness/world.ts";
import { setup } from "../setup.ts";
import { newestRows } from "./journal.ts";
import { Archive, NAMES } from "./packages.ts";

/** A round. Throws where something is wrong. */
export interface Round {
  /** What to run to have it again. */
  readonly name: string;
  readonly run: (world: World, archive: Archive) => Promise<void>;
}

/** How far it came. */
export interface Done {
  readonly rounds: number;
  readonly violations: number;
}

/** Runs rounds on a new host. After a violation the host's disk stays for whoever looks for the reason. */
export async function runRounds(rounds: readonly Round[], say: (line: string) => void): Promise<Done> {
  await setup();
  const world = await World.make("crash", { config: { keepTransactions: 1_000_000 } });
  const archive = new Archive(world);
  let done = 0;
  try {
    await archive.publish(NAMES, "1");
    for (const { name, run } of rounds) {
      say(name);
      await run(world, archive);
      done += 1;
    }
    await world.expectSound();
    await world.close();
    return { rounds: done, violations: 0 };
  } catch (error) {
    say(`VIOLATION in ${rounds[done]?.name ?? "the end"}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    for (const line of await evidence(world)) say(line);
    await world.mirror.close();
    await world.host.stop();
    say(`The host's disk is kept in ${world.host.layout.directory}`);
    return { rounds: done + 1, violations: 1 };
  }
}

/** What a person needs to understand a violation. */
async function evidence(world: World): Promise<string[]> {
  const log = await readFile(join(world.host.layout.log, "daemon.log"), "utf8").catch(() => "");
  return [
    "The journal's newest transactions:",
    ...newestRows(world.host, 15),
    "What is left on the host:",
    ...(await world.processes()),
    ...(await world.leftovers()),
    "The end of the daemon's log:",
    ...log.split("\n").slice(-60),
  ];
}
