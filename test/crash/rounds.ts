/** The rounds of `--transitions` and `--faults`: which requests, and which blows. */
import type { Round } from "./run.ts";
import { CLEANUP, INSTALL, ROLLBACK, type Scenario, UPGRADE } from "./scenarios.ts";
import { type Sweep, sweep } from "./sweep.ts";

type Say = (line: string) => void;

const SCENARIOS: readonly Scenario[] = [INSTALL, ROLLBACK, CLEANUP, UPGRADE];
/** A commit is 4 to 24 writes into the log: at every seventh one most commits are met, each somewhere else. */
const WRITES_STEP = 7;

/** Killed when a commit is on the disk and nobody has heard of it yet, and killed while it is being written. */
export function transitionRounds(say: Say): Round[] {
  return SCENARIOS.flatMap((scenario) => [
    round({ scenario, call: "fsync", blow: "signal=KILL", say }),
    round({ scenario, call: "pwrite64", blow: "signal=KILL", step: WRITES_STEP, say }),
  ]);
}

/** A sync that fails, and a write that finds no room. */
export function faultRounds(say: Say): Round[] {
  return SCENARIOS.flatMap((scenario) => [
    round({ scenario, call: "fsync", blow: "error=EIO", say }),
    round({ scenario, call: "pwrite64", blow: "error=ENOSPC", step: WRITES_STEP, say }),
  ]);
}

function round(what: Sweep): Round {
  return {
    name: `${what.scenario.name}: ${what.blow} at each ${what.call}`,
    run: async (world, archive) => {
      await world.cli("cleanup", "--pending");
      const blows = await sweep(world, archive, what);
      what.say?.(`${what.scenario.name} came through after ${blows} blows`);
      await world.expectSound();
    },
  };
}
