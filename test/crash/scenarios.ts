/** Single requests, each with what must be there before it so that it has everything to do that it can have. */
import type { World } from "../harness/world.ts";
import type { Archive } from "./packages.ts";
import type { Wish } from "./plan.ts";

/** A request that can be made any number of times. */
export interface Scenario {
  readonly name: string;
  /** Makes what the request needs, and gives it. */
  readonly begin: (world: World, archive: Archive) => Promise<Wish>;
}

/** A package nobody has heard of: no layer with it is remembered. */
export const INSTALL: Scenario = {
  name: "install",
  async begin(_, archive) {
    return { kind: "install", packages: [await archive.newPackage()], targets: [] };
  },
};

/** A deployment is pending, and goes. */
export const ROLLBACK: Scenario = {
  name: "rollback",
  async begin(world, archive) {
    await world.ok("install", await archive.newPackage());
    return { kind: "rollback", packages: [], targets: [] };
  },
};

/** A deployment is pending, and goes with its layer and its caches. */
export const CLEANUP: Scenario = {
  name: "cleanup",
  async begin(world, archive) {
    await world.ok("install", await archive.newPackage());
    return { kind: "cleanup", packages: [], targets: ["base", "pending"] };
  },
};

/** There is a newer version of a layered package, of which the daemon has not heard. */
export const UPGRADE: Scenario = {
  name: "upgrade",
  async begin(world, archive) {
    const name = await archive.newPackage();
    await world.ok("install", name);
    await archive.publish([name], "2");
    return { kind: "upgrade", packages: [], targets: [] };
  },
};
