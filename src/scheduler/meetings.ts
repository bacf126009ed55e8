/**
 * What becomes of a request that meets another one which has not ended: the table, and what two requests are together. Pure; whether
 * a run has gone too far for it is for `admission.ts` to know.
 */
import { packageName } from "../model/names.ts";
import type { Kind, Request } from "../model/transaction.ts";

/**
 * `join`: it is the same request, one run serves both. `absorb`: the run does what the newcomer wants on its way. `merge`: one run does
 * both, as long as it has not begun. `promote`: the run goes on as what the newcomer wants. `queue`: each has a run of its own, in any
 * order. `conflict`: each has a run of its own, and the newcomer's begins when the other has ended, whatever the classes.
 */
export type Meeting = "join" | "absorb" | "merge" | "promote" | "queue" | "conflict";

/**
 * What is true of a request that is there and a newcomer. `equal`: nothing differs. `within`: the newcomer wants a part of what the
 * other does. `beyond`: the other way round. `contradicting`: both name a package, and differ on its version or suite. `overlapping`: both
 * name a package. `bare`: the one of them that is a prefetch names no package. `touching`: the one that is a cleanup removes deployments.
 */
export type Condition = "equal" | "within" | "beyond" | "contradicting" | "overlapping" | "bare" | "touching" | "always";

/** The first clause whose condition holds decides; without any they queue. */
export type Clauses = readonly (readonly [Condition, Meeting])[];

const QUEUE: Clauses = [];
const CONFLICT: Clauses = [["always", "conflict"]];
const JOIN: Clauses = [["always", "join"]];
/** Two sets that one run can take together. */
const TOGETHER: Clauses = [
  ["contradicting", "conflict"],
  ["equal", "join"],
  ["within", "absorb"],
  ["always", "merge"],
];
const OPPOSED: Clauses = [["overlapping", "conflict"]];
const CLEANUP: Clauses = [["touching", "conflict"]];

/** The table: the kind of the request that is there, the kind of the newcomer, what becomes of them. */
export const MEETINGS: Readonly<Record<Kind, Readonly<Record<Kind, Clauses>>>> = {
  install: {
    install: TOGETHER,
    uninstall: OPPOSED,
    upgrade: QUEUE,
    rollback: CONFLICT,
    undo: CONFLICT,
    refresh: QUEUE,
    prefetch: [["within", "absorb"]],
    cleanup: CLEANUP,
  },
  uninstall: {
    install: OPPOSED,
    uninstall: TOGETHER,
    upgrade: QUEUE,
    rollback: CONFLICT,
    undo: CONFLICT,
    refresh: QUEUE,
    prefetch: QUEUE,
    cleanup: CLEANUP,
  },
  upgrade: {
    install: QUEUE,
    uninstall: QUEUE,
    upgrade: JOIN,
    rollback: CONFLICT,
    undo: CONFLICT,
    refresh: [["always", "absorb"]],
    prefetch: [["bare", "absorb"]],
    cleanup: CLEANUP,
  },
  rollback: {
    install: CONFLICT,
    uninstall: CONFLICT,
    upgrade: CONFLICT,
    rollback: JOIN,
    undo: CONFLICT,
    refresh: QUEUE,
    prefetch: QUEUE,
    cleanup: CLEANUP,
  },
  undo: {
    install: CONFLICT,
    uninstall: CONFLICT,
    upgrade: CONFLICT,
    rollback: CONFLICT,
    undo: [
      ["equal", "join"],
      ["always", "conflict"],
    ],
    refresh: QUEUE,
    prefetch: QUEUE,
    cleanup: CLEANUP,
  },
  refresh: {
    install: QUEUE,
    uninstall: QUEUE,
    upgrade: [["always", "promote"]],
    rollback: QUEUE,
    undo: QUEUE,
    refresh: JOIN,
    prefetch: QUEUE,
    cleanup: QUEUE,
  },
  prefetch: {
    install: [["beyond", "promote"]],
    uninstall: QUEUE,
    upgrade: [["bare", "promote"]],
    rollback: QUEUE,
    undo: QUEUE,
    refresh: QUEUE,
    prefetch: [["equal", "join"]],
    cleanup: QUEUE,
  },
  cleanup: {
    install: CLEANUP,
    uninstall: CLEANUP,
    upgrade: CLEANUP,
    rollback: CLEANUP,
    undo: CLEANUP,
    refresh: QUEUE,
    prefetch: QUEUE,
    cleanup: TOGETHER,
  },
};

/** What becomes of a newcomer that meets a request which is there. Requests of one kind whose options differ have nothing in common. */
export function meet(there: Request, newcomer: Request): Meeting {
  if (there.kind === newcomer.kind && there.idempotent !== newcomer.idempotent) return "queue";
  for (const [condition, meeting] of MEETINGS[there.kind][newcomer.kind]) if (holds(condition, there, newcomer)) return meeting;
  return "queue";
}

/**
 * The request that one run carries out for both, or null where they do not share. It never holds what neither asked for: what two
 * people were authorised to do is all that is done.
 */
export function combine(there: Request, newcomer: Request): Request | null {
  switch (meet(there, newcomer)) {
    case "join":
    case "absorb":
      return there;
    case "promote":
      return newcomer;
    case "merge":
      return { ...there, packages: union(there.packages, newcomer.packages), targets: union(there.targets, newcomer.targets) };
    case "queue":
    case "conflict":
      return null;
  }
}

/** The request that one run carries out for all, in whichever order they came; null where two of them do not share. */
export function combineAll(requests: readonly Request[]): Request | null {
  const [first, ...others] = requests;
  if (first === undefined) return null;
  return others.reduce<Request | null>((all, next) => (all === null ? null : combine(all, next)), first);
}

function holds(condition: Condition, there: Request, newcomer: Request): boolean {
  switch (condition) {
    case "equal":
      return isWithin(there, newcomer) && isWithin(newcomer, there) && there.undoes === newcomer.undoes;
    case "within":
      return isWithin(newcomer, there);
    case "beyond":
      return isWithin(there, newcomer);
    case "contradicting":
      return there.packages.some((spec) => newcomer.packages.some((other) => other !== spec && withoutPin(other) === withoutPin(spec)));
    case "overlapping":
      return there.packages.some((spec) => newcomer.packages.some((other) => packageName(other) === packageName(spec)));
    case "bare":
      return [there, newcomer].every(({ packages }) => packages.length === 0);
    case "touching":
      return [there, newcomer].some(({ targets }) => targets.includes("pending") || targets.includes("rollback"));
    case "always":
      return true;
  }
}

/** Whether all that the one names is named by the other too. A prefetch that names nothing wants an upgrade's archives, no part of an install's. */
function isWithin(part: Request, whole: Request): boolean {
  if (part.kind !== whole.kind && part.packages.length === 0) return false;
  return part.packages.every((spec) => whole.packages.includes(spec)) && part.targets.every((target) => whole.targets.includes(target));
}

/** "vim:amd64" of "vim:amd64=2:9.1". */
function withoutPin(spec: string): string {
  return spec.replace(/[=/].*$/, "");
}

function union<T extends string>(a: readonly T[], b: readonly T[]): readonly T[] {
  return [...new Set([...a, ...b])].sort();
}
