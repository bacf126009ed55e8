/** The blows of the campaign. */
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, signal } from "../../src/sandbox/processes.ts";
import { workProcesses } from "../harness/traces.ts";
import type { World } from "../harness/world.ts";
import type { Strike } from "./plan.ts";

/** How long to wait for a child to kill. */
const CHILD_TIMEOUT_MS = 2000;
const ENDS_TIMEOUT_MS = 60_000;

/** What was struck, in words, and whether a child was: what it did has failed then, whatever that was. */
export interface Struck {
  readonly what: string;
  readonly childKilled: boolean;
}

/** Strikes at once and sees to it that a daemon runs in the end. Throws where one cannot be ended or started, or its children outlive it. */
export async function strike(world: World, { kind, child, againAfterMs }: Strike): Promise<Struck> {
  switch (kind) {
    case "terminate":
      await world.host.killDaemon("SIGTERM");
      await restart(world);
      return { what: "asked the daemon to end", childKilled: false };
    case "child":
      return await killChild(world, child);
    case "both": {
      const struck = await killChild(world, child);
      await world.host.killDaemon();
      await restart(world);
      return { ...struck, what: `${struck.what}, killed the daemon` };
    }
    case "kill":
      await world.host.killDaemon();
      await restart(world);
      return { what: "killed the daemon", childKilled: false };
    case "again": {
      await world.host.killDaemon();
      await world.expectQuiet(ENDS_TIMEOUT_MS);
      const first = world.startDaemon().then(
        () => "serving",
        () => "recovering",
      );
      await sleep(againAfterMs);
      await eventually(() => world.host.killDaemon(), CHILD_TIMEOUT_MS);
      const was = await first;
      await restart(world);
      return { what: `killed the daemon, and the next one ${was}`, childKilled: false };
    }
  }
}

/** Nothing of a dead daemon lives on beside the next one. */
async function restart(world: World): Promise<void> {
  await world.expectQuiet(ENDS_TIMEOUT_MS);
  await world.startDaemon();
}

async function killChild(world: World, share: number): Promise<Struck> {
  let struck: Struck = { what: "found no child to kill", childKilled: false };
  await eventually(async () => {
    const children = await workProcesses(world.host);
    const chosen = children[Math.floor(share * children.length)];
    if (chosen === undefined) return false;
    signal(chosen.pid, "SIGKILL");
    struck = { what: `killed ${chosen.argv.slice(0, 100)}`, childKilled: true };
    return true;
  }, CHILD_TIMEOUT_MS);
  return struck;
}
