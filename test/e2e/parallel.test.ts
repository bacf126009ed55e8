/** More command lines at once than the machine has processors: each is a process with a connection of its own. */
import { cpus } from "node:os";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { World } from "../harness/world.ts";

const COUNT = 2 * cpus().length;

describe(`${COUNT} command lines that install at the same time`, () => {
  let world: World;
  const names = Array.from({ length: COUNT }, (_, index) => `package${index}`);
  beforeAll(async () => {
    world = await World.make("e2e-parallel");
    await world.offer(
      ...["same", ...names].map((name) => ({ name, version: "1", files: { [`/usr/share/${name}`]: name }, scripts: { postinst: "sleep 0.4" } })),
    );
  });
  beforeEach(() => world.reset());
  afterAll(() => world?.close());

  /** Runs them; every one must end with success and with one transaction, known to all, that has ended. */
  async function installAll(packages: readonly string[]): Promise<void> {
    const known = new Set((await world.withClient((client) => client.transactions(1000))).map(({ id }) => id));
    const ended = await Promise.all(packages.map((name) => world.cli("install", name)));
    expect(ended.map(({ status, stderr }) => ({ status, stderr }))).toEqual(packages.map(() => ({ status: 0, stderr: "" })));
    const listed = (JSON.parse(await world.ok("transactions", "list", "--json", "--limit", "1000")) as { id: string; title: string; state: string }[])
      .filter(({ id }) => !known.has(id))
      .map(({ title, state }) => `${title}: ${state}`);
    expect(listed.sort()).toEqual(packages.map((name) => `install ${name}: finished`).sort());
  }

  test("different packages: each has its own result, and the next boot has all of them", { timeout: 600_000 }, async () => {
    await installAll(names);
    const next = await world.next();
    expect(next.origin.requested).toEqual([...names].sort());
    expect(next.layered.map(({ name }) => name).sort()).toEqual([...names].sort());
    expect((await world.deployments()).length).toBeLessThanOrEqual(COUNT + 1);
    await world.expectClean();
    await world.expectSound();
  });

  test("the same package: each has its own result, and one deployment serves all", { timeout: 600_000 }, async () => {
    await installAll(Array.from({ length: COUNT }, () => "same"));
    const next = await world.next();
    expect(next.layered).toMatchObject([{ name: "same" }]);
    expect((await world.deployments()).length).toBe(2);
    await world.expectClean();
    await world.expectSound();
  });
});
