/** Single requests, each with what must be there before it so that it has everything to do that it can have. */
import type { Deployment } from "../../src/model/sysroot.ts";
import type { World } from "../harness/world.ts";
import type { Archive } from "./packages.ts";
import type { Wish } from "./plan.ts";

/** A request that is about to be made. */
export interface Begun {
  readonly wish: Wish;
  /** Whether it was carried out, exactly once, on what there was before. */
  readonly isDone: (before: readonly Deployment[], after: readonly Deployment[]) => boolean;
}

/** A request that can be made any number of times. */
export interface Scenario {
  readonly name: string;
  /** Makes what the request needs, and gives it. */
  readonly begin: (world: World, archive: Archive) => Promise<Begun>;
}

/** A package nobody has heard of: no layer with it is remembered. */
export const INSTALL: Scenario = {
  name: "install",
  async begin(_, archive) {
    const name = await archive.newPackage();
    return {
      wish: { kind: "install", packages: [name], targets: [] },
      isDone: (_before, after) => after[0]?.layered.some((layered) => layered.name === name) === true,
    };
  },
};

/** A staged deployment goes. */
export const ROLLBACK: Scenario = {
  name: "rollback of a staged deployment",
  async begin(world, archive) {
    await world.ok("install", await archive.newPackage());
    return { wish: rollback(), isDone: isTurned };
  },
};

/** Two deployments change places: done twice, it would be undone. */
export const TURN: Scenario = {
  name: "rollback of a written deployment",
  async begin(world, archive) {
    if ((await world.deployments()).length < 2 || (await world.next()).staged) {
      await world.ok("install", await archive.newPackage());
      await world.reboot();
    }
    return { wish: rollback(), isDone: isTurned };
  },
};

/** A deployment is pending, and goes with its layer and its caches. */
export const CLEANUP: Scenario = {
  name: "cleanup",
  async begin(world, archive) {
    await world.ok("install", await archive.newPackage());
    return {
      wish: { kind: "cleanup", packages: [], targets: ["base", "pending"] },
      isDone: (_before, after) => after.every(({ pending, staged }) => !pending && !staged),
    };
  },
};

/** There is a newer version of a layered package, of which the daemon has not heard. */
export const UPGRADE: Scenario = {
  name: "upgrade",
  async begin(world, archive) {
    const name = await archive.newPackage();
    await world.ok("install", name);
    await archive.publish([name], "2");
    return {
      wish: { kind: "upgrade", packages: [], targets: [] },
      isDone: (_before, after) => after[0]?.layered.some((layered) => layered.name === name && layered.version === "2") === true,
    };
  },
};

function rollback(): Wish {
  return { kind: "rollback", packages: [], targets: [] };
}

function isTurned(before: readonly Deployment[], after: readonly Deployment[]): boolean {
  return after[0]?.id === before[1]?.id;
}
