/** A staged deployment that ostree cannot remove when it is replaced or dropped: what was done stands all the same. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { World } from "../harness/world.ts";

const one = (name: string) => ({ name, version: "1", files: { [`/usr/share/${name}`]: name } });

let world: World;
/** A directory in the deployment that was staged first, which nobody can remove. */
let stuck = "";
beforeAll(async () => {
  world = await World.make("e2e-replaced");
  await world.offer(one("alpha"), one("beta"));
});
afterAll(async () => {
  await exec("sh", ["-c", '[ ! -e "$1" ] || chattr -i "$1"', "sh", stuck]);
  await world?.close();
});

/** Makes the staged deployment one that cannot be removed. */
async function makeStuck(): Promise<void> {
  stuck = join((await world.next()).directory, "usr/share/stuck");
  await exec("sh", ["-c", 'mkdir "$1" && touch "$1/file" && chattr +i "$1"', "sh", stuck]);
}

test("what ostree has deployed stands, though it could not remove what that replaced", async () => {
  await world.ok("install", "alpha");
  await makeStuck();
  expect(await world.ok("install", "beta")).toMatch(/warning: the deployment stands, though ostree failed after it: .*Operation not permitted/);
  expect(await world.next()).toMatchObject({ staged: true, origin: { requested: ["alpha", "beta"] } });

  // Finalising cleans up too, and what cannot be removed would fail that.
  await exec("chattr", ["-i", stuck]);
  await world.reboot();
  expect(await world.deployments()).toMatchObject([{ booted: true, layered: [{ name: "alpha" }, { name: "beta" }] }, { booted: false }]);
});

test("a rollback stands too where ostree could not remove what it dropped, and once it can a cleanup does", async () => {
  await world.offer(one("alpha"), one("beta"), one("gamma"));
  await world.ok("install", "gamma");
  await makeStuck();
  expect(await world.ok("rollback")).toMatch(/warning: the deployment stands/);
  expect(await world.deployments()).toMatchObject([{ booted: true, origin: { requested: ["alpha", "beta"] } }, { booted: false }]);

  await exec("chattr", ["-i", stuck]);
  await world.ok("cleanup", "--pending");
  await world.expectClean();
  await world.expectSound();
});
