/**
 * What becomes of a request that meets another one which has not ended: the table, and what two requests are together. Pure; whether
 * a run has gone too far for it is for `admission.ts` to know.
 */
import { packageName } from "../model/names.ts";
import { isAddress } from "../model/request.ts";
import { KINDS, type Kind, type Request } from "../model/transaction.ts";
import { withoutPin } from "../model/tree.ts";

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
const SAME: Clauses = [
  ["equal", "join"],
  ["always", "conflict"],
];

type Row = Readonly<Record<Kind, Clauses>>;

/** Of what changes a tree in a way of its own: one after the other, with whatever writes a deployment. */
const APART: Row = {
  install: CONFLICT,
  uninstall: CONFLICT,
  override: CONFLICT,
  reset: CONFLICT,
  reinstall: CONFLICT,
  upgrade: CONFLICT,
  rebase: CONFLICT,
  deploy: CONFLICT,
  rollback: CONFLICT,
  undo: CONFLICT,
  refresh: QUEUE,
  prefetch: QUEUE,
  cleanup: CLEANUP,
};
/** Of what writes no deployment. */
const BESIDE = Object.fromEntries(KINDS.map((kind) => [kind, QUEUE])) as Row;

/** The table: the kind of the request that is there, the kind of the newcomer, what becomes of them. */
export const MEETINGS: Readonly<Record<Kind, Row>> = {
  install: { ...APART, install: TOGETHER, uninstall: OPPOSED, upgrade: QUEUE, prefetch: [["within", "absorb"]] },
  uninstall: { ...APART, install: OPPOSED, uninstall: TOGETHER, upgrade: QUEUE },
  override: { ...APART, override: SAME },
  reset: { ...APART, reset: SAME },
  reinstall: { ...APART, reinstall: SAME },
  upgrade: {
    ...APART,
    install: QUEUE,
    uninstall: QUEUE,
    upgrade: JOIN,
    refresh: [["always", "absorb"]],
    prefetch: [["bare", "absorb"]],
  },
  rebase: { ...APART, rebase: SAME },
  deploy: { ...APART, deploy: SAME },
  rollback: { ...APART, rollback: JOIN },
  undo: { ...APART, undo: SAME },
  refresh: { ...BESIDE, upgrade: [["always", "promote"]], refresh: JOIN },
  prefetch: { ...BESIDE, install: [["beyond", "promote"]], upgrade: [["bare", "promote"]], prefetch: [["equal", "join"]] },
  cleanup: { ...(Object.fromEntries(KINDS.map((kind) => [kind, CLEANUP])) as Row), refresh: QUEUE, prefetch: QUEUE, cleanup: TOGETHER },
};

/**
 * What becomes of a newcomer that meets a request which is there. Requests of one kind whose options differ share nothing, nor does what
 * only tries out, or does one certain plan, but with its like; they keep their order all the same where they exclude each other.
 */
export function meet(there: Request, newcomer: Request): Meeting {
  const alike = there.kind === newcomer.kind && sameOptions(there, newcomer);
  const certain = isCertain(there) || isCertain(newcomer);
  if (certain ? alike && holds("equal", there, newcomer) : alike || there.kind !== newcomer.kind) return certain ? "join" : byTable(there, newcomer);
  const dry = there.dryRun === true || newcomer.dryRun === true;
  return !dry && byTable(there, newcomer) === "conflict" ? "conflict" : "queue";
}

function byTable(there: Request, newcomer: Request): Meeting {
  for (const [condition, meeting] of MEETINGS[there.kind][newcomer.kind]) if (holds(condition, there, newcomer)) return meeting;
  return "queue";
}

function isCertain({ dryRun, plan }: Request): boolean {
  return dryRun === true || plan !== undefined;
}

function sameOptions(a: Request, b: Request): boolean {
  const options = ({ idempotent, dryRun = false, plan, scriptNetwork = false }: Request): string => [idempotent, dryRun, plan, scriptNetwork].join();
  return options(a) === options(b);
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
      return {
        ...there,
        packages: union(there.packages, newcomer.packages),
        targets: union(there.targets, newcomer.targets),
        ...unionOf("files", there, newcomer),
        ...unionOf("locals", there, newcomer),
      };
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
      return isWithin(there, newcomer) && isWithin(newcomer, there) && isAlike(there, newcomer);
    case "within":
      return isWithin(newcomer, there);
    case "beyond":
      return isWithin(there, newcomer);
    case "contradicting":
      return named(there).some((spec) => named(newcomer).some((other) => other !== spec && withoutPin(other) === withoutPin(spec)));
    case "overlapping":
      return named(there).some((spec) => named(newcomer).some((other) => packageName(other) === packageName(spec)));
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
  if (part.kind !== whole.kind && named(part).length === 0) return false;
  return [named, addresses, ({ targets }: Request) => targets].every((list) => list(part).every((one) => list(whole).includes(one)));
}

/** Whether they say the same beside what they name. */
function isAlike(a: Request, b: Request): boolean {
  return (["undoes", "action", "refspec", "revision", "followsApt"] as const).every((key) => a[key] === b[key]);
}

/** Every package that is named; files by what is in them, wherever they lie. */
function named({ packages, locals = [] }: Request): readonly string[] {
  return [...packages, ...locals];
}

/** Files whose content is not known yet. */
function addresses({ files = [] }: Request): readonly string[] {
  return files.filter(isAddress);
}

function unionOf(key: "files" | "locals", a: Request, b: Request): Partial<Request> {
  const all = union(a[key] ?? [], b[key] ?? []);
  return all.length === 0 ? {} : { [key]: all };
}

function union<T extends string>(a: readonly T[], b: readonly T[]): readonly T[] {
  return [...new Set([...a, ...b])].sort();
}
