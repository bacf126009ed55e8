/** Why packages are there: the ways through their relations, from those that somebody asked for. */
import { BRINGING, type Link, MAX_WANTED_BY } from "./inspection.ts";
import type { InstalledPackage } from "./plan.ts";
import { type Candidate, formatRelation, fulfils, parseRelations, type Relation } from "./relation.ts";

/** A package of a dpkg database with the fields that bring others, as text. */
export interface RelatedPackage extends InstalledPackage {
  readonly multiArch: string;
  readonly provides: string;
  readonly relations: Readonly<Record<(typeof BRINGING)[number], string>>;
}

/** So many packages are looked at in one go; a desktop has a few thousand. */
const PART = 100;

/** The installed packages of one tree, by what they can be asked for as. */
export class PackageGraph {
  readonly #packages: readonly RelatedPackage[];
  readonly #byName = new Map<string, Candidate[]>();
  readonly #pause: () => Promise<void>;
  #looked = 0;

  private constructor(packages: readonly RelatedPackage[], pause: () => Promise<void>) {
    this.#packages = packages;
    this.#pause = pause;
  }

  /** `pause` is awaited after every little part of the work, here and in the questions below. */
  static async of(packages: readonly RelatedPackage[], pause: () => Promise<void>): Promise<PackageGraph> {
    const graph = new PackageGraph(packages, pause);
    for (const one of packages) {
      await graph.#step();
      const provides = parseRelations(one.provides);
      const candidate = { ...one, provides };
      for (const name of new Set([one.name, ...provides.flat().map((relation) => relation.name)])) {
        const there = graph.#byName.get(name);
        if (there === undefined) graph.#byName.set(name, [candidate]);
        else there.push(candidate);
      }
    }
    return graph;
  }

  /** The shortest way from one of the roots to a package; null where there is none, empty where it is a root itself. */
  async chain(roots: readonly InstalledPackage[], target: InstalledPackage): Promise<Link[] | null> {
    const wanted = keyOf(target);
    const cameBy = new Map<string, Link | null>(roots.map((root) => [keyOf(root), null]));
    const byKey = new Map(this.#packages.map((one) => [keyOf(one), one]));
    const next = [...cameBy.keys()];
    for (let key = next.shift(); key !== undefined; key = next.shift()) {
      if (key === wanted) return wayTo(wanted, cameBy);
      const one = byKey.get(key);
      if (one === undefined) continue;
      await this.#step();
      for (const link of this.#linksOf(one)) {
        if (cameBy.has(link.to)) continue;
        cameBy.set(link.to, link);
        next.push(link.to);
      }
    }
    return null;
  }

  /** The packages that want one directly, at most `MAX_WANTED_BY`. */
  async wantedBy(target: InstalledPackage): Promise<Link[]> {
    const wanted = keyOf(target);
    const found: Link[] = [];
    const names = [...this.#byName].filter(([, them]) => them.some((one) => keyOf(one) === wanted)).map(([name]) => name);
    for (const one of this.#packages) {
      if (found.length >= MAX_WANTED_BY) break;
      if (keyOf(one) === wanted || !BRINGING.some((field) => names.some((name) => one.relations[field].includes(name)))) continue;
      await this.#step();
      found.push(...this.#linksOf(one).filter(({ to }) => to === wanted));
    }
    return found.slice(0, MAX_WANTED_BY);
  }

  /** What a package brings: of each group every alternative that is there. */
  #linksOf(one: RelatedPackage): Link[] {
    return BRINGING.flatMap((field) =>
      parseRelations(one.relations[field]).flatMap((group) => group.flatMap((wish) => this.#links(one, field, wish))),
    );
  }

  #links(one: RelatedPackage, field: Link["field"], relation: Relation): Link[] {
    return (this.#byName.get(relation.name) ?? []).flatMap((candidate) => {
      const how = fulfils(candidate, relation, one.architecture);
      if (how === null) return [];
      return [{ from: keyOf(one), field, relation: formatRelation(relation), to: keyOf(candidate), provided: how === "provides" }];
    });
  }

  async #step(): Promise<void> {
    this.#looked += 1;
    if (this.#looked % PART === 0) await this.#pause();
  }
}

/** "NAME:ARCHITECTURE". */
export function keyOf({ name, architecture }: Pick<InstalledPackage, "name" | "architecture">): string {
  return `${name}:${architecture}`;
}

function wayTo(key: string, cameBy: ReadonlyMap<string, Link | null>): Link[] {
  const way: Link[] = [];
  for (let link = cameBy.get(key); link != null; link = cameBy.get(link.from)) way.unshift(link);
  return way;
}
