/** The packages that the campaigns install: small ones, a slow one, a large one, one that depends on another. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type DebOptions, makeDeb } from "../harness/debs.ts";
import type { World } from "../harness/world.ts";

/** The names that random requests draw from. */
export const NAMES = ["alpha", "beta", "gamma", "delta", "needy", "slow", "large"] as const;

const LARGE = randomBytes(12_000_000);
/** Versions of a package that the mirror has: whoever has not heard of the newest can still get the one before. */
const KEPT_VERSIONS = 2;
/** New packages that are published at once: one refresh serves them all. */
const BATCH = 20;

/** Everything that was published. As in any archive, a version is built once and never changes. */
export class Archive {
  readonly #world: World;
  readonly #debs = new Map<string, string[]>();
  readonly #unused: string[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  /** A package that nobody has installed yet, and of which the daemon has heard. */
  async newPackage(): Promise<string> {
    if (this.#unused.length === 0) {
      this.#unused.push(...Array.from({ length: BATCH }, (_, index) => `item${this.#debs.size + index}`));
      await this.publish(this.#unused, "1");
      await this.#world.ok("refresh-md");
    }
    return this.#unused.shift() ?? "";
  }

  /** Adds packages in a version to the mirror; the daemon hears of it at the next refresh. */
  async publish(names: readonly string[], version: string): Promise<void> {
    const directory = join(this.#world.host.layout.directory, "archive");
    for (const name of names) {
      const deb = await makeDeb(directory, packageOf(name, version));
      this.#debs.set(name, [...(this.#debs.get(name) ?? []), deb].slice(-KEPT_VERSIONS));
    }
    await this.#world.publish(...[...this.#debs.values()].flat());
  }
}

function packageOf(name: string, version: string): DebOptions {
  const files: Record<string, string | Buffer> = { [`/usr/share/${name}`]: `${name} ${version}\n`, [`/etc/${name}.conf`]: `${name} ${version}\n` };
  if (name === "large") files["/usr/share/large.data"] = LARGE;
  return {
    name,
    version,
    files,
    conffiles: [`/etc/${name}.conf`],
    scripts: { postinst: name === "slow" ? "sleep 1.5" : `mkdir -p /var/lib/${name}` },
    ...(name === "needy" ? { depends: "alpha" } : {}),
  };
}
