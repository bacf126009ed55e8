/** Relations between packages as the fields of a control file have them (deb-control(5), "Depends" and the fields after it). */
import { compareVersions } from "./version.ts";

/** One alternative: "libc6:any (>= 2.36)". What is absent is empty. */
export interface Relation {
  readonly name: string;
  /** "any", "native" or the name of an architecture. */
  readonly architecture: string;
  readonly operator: "" | "<<" | "<=" | "=" | ">=" | ">>";
  readonly version: string;
}

/** A package as far as relations look at it. */
export interface Candidate {
  readonly name: string;
  readonly architecture: string;
  readonly version: string;
  /** The field Multi-Arch: "", "no", "same", "foreign" or "allowed". */
  readonly multiArch: string;
  /** The field Provides, read by `parseRelations`: only "=" has a meaning there. */
  readonly provides: readonly (readonly Relation[])[];
}

/** Restrictions to architectures and build profiles may follow; they say nothing in the control file of a binary package. */
const RELATION = /^([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s)]+)\s*\))?(?:\s*[[<].*)?$/;
/** "<" and ">" were written for "<=" and ">=" once, and are read so still. */
const OPERATORS: Readonly<Record<string, Relation["operator"]>> = { "<": "<=", ">": ">=", "<<": "<<", "<=": "<=", "=": "=", ">=": ">=", ">>": ">>" };

/** The groups of a field, each of alternatives, of which one is enough. What dpkg would not have taken into its database is left out. */
export function parseRelations(field: string): Relation[][] {
  return field
    .split(",")
    .map((group) => group.split("|").flatMap((one) => parseRelation(one.trim())))
    .filter((group) => group.length > 0);
}

function parseRelation(text: string): Relation[] {
  const match = RELATION.exec(text);
  if (match === null) return [];
  const [, name = "", architecture = "", operator = "", version = ""] = match;
  return [{ name, architecture, operator: OPERATORS[operator] ?? "", version }];
}

/** A relation as it is written in a control file. */
export function formatRelation({ name, architecture, operator, version }: Relation): string {
  return `${name}${architecture === "" ? "" : `:${architecture}`}${operator === "" ? "" : ` (${operator} ${version})`}`;
}

/**
 * How a package fulfils a relation of a package of `ofArchitecture`: by its own name, by one that it provides, or not at all (null).
 * A provided name without a version fulfils no relation with one.
 */
export function fulfils(candidate: Candidate, relation: Relation, ofArchitecture: string): "name" | "provides" | null {
  if (!suitsArchitecture(candidate, relation, ofArchitecture)) return null;
  if (candidate.name === relation.name && suitsVersion(candidate.version, relation)) return "name";
  const provided = candidate.provides.flat().filter(({ name }) => name === relation.name);
  return provided.some(({ operator, version }) => (operator === "" ? relation.operator === "" : suitsVersion(version, relation))) ? "provides" : null;
}

/** Without a qualifier the architecture must be the same, save for what is of all of them and what serves all of them ("foreign"). */
function suitsArchitecture({ architecture, multiArch }: Candidate, relation: Relation, ofArchitecture: string): boolean {
  const isAlike = architecture === ofArchitecture || architecture === "all" || ofArchitecture === "all" || multiArch === "foreign";
  if (relation.architecture === "any") return isAlike || multiArch === "allowed";
  if (relation.architecture === "" || relation.architecture === "native") return isAlike;
  return architecture === relation.architecture || architecture === "all";
}

function suitsVersion(version: string, relation: Relation): boolean {
  if (relation.operator === "") return true;
  const order = compareVersions(version, relation.version);
  if (order < 0) return relation.operator === "<<" || relation.operator === "<=";
  if (order > 0) return relation.operator === ">>" || relation.operator === ">=";
  return relation.operator === "=" || relation.operator === "<=" || relation.operator === ">=";
}
