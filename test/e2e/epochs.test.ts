/** Many who ask for the status while others change the system: all of them are shown one history. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { EpochHistory, pollEpochs } from "../harness/epochs.ts";
import { World } from "../harness/world.ts";

const POLLERS = 12;
const one = (name: string) => ({ name, version: "1", files: { [`/usr/share/${name}`]: name } });

let world: World;
beforeAll(async () => {
  world = await World.make("e2e-epochs");
  await world.offer(one("alpha"), one("beta"));
});
afterAll(() => world?.close());

test("every answer is the one state that was published as its epoch, and none is older than one before it", { timeout: 600_000 }, async () => {
  const history = new EpochHistory();
  let over = false;
  const polling = Promise.all(Array.from({ length: POLLERS }, () => pollEpochs(world.host.bus, history, { everyMs: 40, isOver: () => over })));
  try {
    await Promise.all([world.ok("install", "alpha"), world.ok("install", "beta")]);
    await world.host.exec("ostree", ["admin", "undeploy", "0"]);
    await world.host.killDaemon();
    await world.startDaemon();
    await world.ok("install", "alpha");
    await world.ok("rollback");
    await world.ok("cleanup", "--pending");
    const { answers } = history;
    await expect.poll(() => history.answers).toBeGreaterThan(answers + POLLERS);
  } finally {
    over = true;
    await polling;
  }
  expect(history.violations).toEqual([]);
  // Installed, undone by hand, a new daemon, installed, rolled back: how much falls together is a matter of chance.
  expect(history.epochs).toBeGreaterThanOrEqual(4);
});
