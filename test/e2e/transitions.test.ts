/** A daemon that is killed at every transition of its journal, one after the other; a disk that fails under the journal. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Archive } from "../crash/packages.ts";
import { INSTALL } from "../crash/scenarios.ts";
import { sweep } from "../crash/sweep.ts";
import { World } from "../harness/world.ts";

/** Commits of an installation, at least: it is accepted, five stages begin, it is deployed, it ends. */
const COMMITS = 8;

describe("an installation", () => {
  let world: World;
  let archive: Archive;
  beforeAll(async () => {
    world = await World.make("e2e-transitions");
    archive = new Archive(world);
  });
  afterAll(() => world?.close());

  test("is finished by the next daemon whichever commit of its journal the first one is killed at", { timeout: 1_200_000 }, async () => {
    expect(await sweep(world, archive, { scenario: INSTALL, call: "fsync", blow: "signal=KILL" })).toBeGreaterThanOrEqual(COMMITS);
    await world.expectSound();
  });

  test("whose journal cannot be made durable is refused or fails by name, and the next daemon is in order", { timeout: 1_200_000 }, async () => {
    await sweep(world, archive, { scenario: INSTALL, call: "fsync", blow: "error=EIO", from: 1, step: 4, atMost: 3 });
    await world.expectSound();
  });

  test("whose journal finds no room waits for it, is refused or fails by name, and loses nothing", { timeout: 1_200_000 }, async () => {
    await sweep(world, archive, { scenario: INSTALL, call: "pwrite64", blow: "error=ENOSPC", from: 1, step: 11, atMost: 3 });
    await world.expectSound();
  });
});
