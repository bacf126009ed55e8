/**
 * Which of the runs that are there a newcomer could meet at all: found by what the table of `meetings.ts` looks at, so that a thousand
 * runs that have nothing in common with it are not looked at one by one.
 */
import { packageName } from "../model/names.ts";
import { KINDS, type Kind, type Request } from "../model/transaction.ts";
import { type Clauses, MEETINGS } from "./meetings.ts";

/** What is known of a run's request. */
interface Known<T> {
  readonly value: T;
  readonly kind: Kind;
  readonly names: readonly string[];
  /** The order of arrival. */
  readonly seq: number;
}

/** Stands for a request that names no package. */
const NOTHING = "";

/** Values by the requests that they stand for, in the order of arrival. */
export class Acquaintance<T> {
  readonly #known = new Map<T, Known<T>>();
  readonly #byKind: Readonly<Record<Kind, Map<string, Set<Known<T>>>>>;
  #added = 0;

  constructor() {
    this.#byKind = Object.fromEntries(KINDS.map((kind) => [kind, new Map()])) as unknown as Record<Kind, Map<string, Set<Known<T>>>>;
  }

  /** Takes in a value, or notes that its request is another now; it keeps its place. */
  put(value: T, request: Request): void {
    const before = this.#known.get(value);
    this.delete(value);
    const known = { value, kind: request.kind, names: namesOf(request), seq: before?.seq ?? this.#added++ };
    this.#known.set(value, known);
    const byName = this.#byKind[known.kind];
    for (const name of known.names) byName.set(name, (byName.get(name) ?? new Set()).add(known));
  }

  delete(value: T): void {
    const known = this.#known.get(value);
    if (known === undefined) return;
    this.#known.delete(value);
    const byName = this.#byKind[known.kind];
    for (const name of known.names) {
      const set = byName.get(name);
      set?.delete(known);
      if (set?.size === 0) byName.delete(name);
    }
  }

  /** All that a newcomer could do more than queue with, and perhaps others, by arrival. */
  of(newcomer: Request): T[] {
    const found = new Set<Known<T>>();
    const names = namesOf(newcomer);
    for (const kind of KINDS) {
      const clauses = MEETINGS[kind][newcomer.kind];
      if (clauses.length === 0) continue;
      const byName = this.#byKind[kind];
      const sets = isByName(clauses, newcomer) ? [...names, NOTHING].map((name) => byName.get(name) ?? []) : byName.values();
      for (const set of sets) for (const known of set) found.add(known);
    }
    return [...found].sort((a, b) => a.seq - b.seq).map(({ value }) => value);
  }
}

/** Whether every condition needs a package that both name, or that one of them names none. What names nothing is within everything. */
function isByName(clauses: Clauses, newcomer: Request): boolean {
  return clauses.every(([condition]) => {
    if (condition === "always" || condition === "touching") return false;
    return condition !== "within" || newcomer.packages.length + (newcomer.locals ?? []).length > 0;
  });
}

function namesOf({ packages, locals = [] }: Request): readonly string[] {
  const named = [...packages, ...locals];
  return named.length === 0 ? [NOTHING] : [...new Set(named.map(packageName))];
}
