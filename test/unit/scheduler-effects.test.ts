/** A journal that fails when a deployment has been written already: what was done is not undone, and is not told as not done. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { AptOstreeError } from "../../src/model/errors.ts";
import type { StepRow } from "../../src/scheduler/ports.ts";
import { World } from "../harness/controlled-engines.ts";
import { Daemon, type Faults } from "../harness/daemon.ts";

let directory: string;
let world: World;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "effects-"));
  world = new World();
});
afterEach(() => rmSync(directory, { recursive: true }));

const isDeployed = ({ stage, phase }: StepRow): boolean => stage === "deploying" && phase === "done";

/** The row that says that the deployment is done finds no room, once. */
const fullAfterDeploying: Faults = (real) => {
  let struck = false;
  return {
    updateRun: async (run, ...steps) => {
      const strikes = !struck && steps.some(isDeployed);
      struck ||= strikes;
      if (strikes) throw new AptOstreeError("NoSpace", "cannot use the journal: full");
      await real.updateRun(run, ...steps);
    },
  };
};

for (const kind of ["install", "rollback"] as const) {
  it(`${kind}: one whose effect cannot be journalled for a moment is not undone, and ends as finished`, async () => {
    const daemon = await Daemon.start(directory, { world, faults: fullAfterDeploying });
    try {
      const id = await daemon.submit(kind, kind === "install" ? ["vim"] : []);
      expect(await daemon.ended(id)).toMatchObject({ state: "finished", error: null });
      expect(world.count("rollBack")).toBe(0);
      expect(world.deployments[0]?.origin.transaction).toBe(id);
    } finally {
      await daemon.kill();
    }
  });
}

it("a deployment stands when the journal breaks under it: the next daemon will find it", async () => {
  let isBroken = false;
  const daemon = await Daemon.start(directory, {
    world,
    // Every step fails from then on; the row of the run's end, which would end the daemon, is not answered.
    faults: (real) => ({
      endRun: () => new Promise<never>(() => undefined),
      updateRun: async (run, ...steps) => {
        isBroken ||= steps.some(isDeployed);
        if (isBroken) throw new AptOstreeError("Internal", "cannot use the journal: disk I/O error");
        await real.updateRun(run, ...steps);
      },
    }),
  });
  try {
    const id = await daemon.submit("install", ["vim"]);
    await expect.poll(() => isBroken).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(world.count("rollBack")).toBe(0);
    expect(world.deployments[0]?.origin.transaction).toBe(id);
  } finally {
    await daemon.kill();
  }
});
