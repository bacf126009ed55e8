/** What apt decided, as a value that can be hashed, journalled, shown and compared. */
import { createHash } from "node:crypto";
import { type TreeState, treeStateOf } from "./tree.ts";

/** One archive to have: what `apt-get --print-uris` says of it (apt-get(8)). */
export interface Archive {
  readonly uri: string;
  /** apt's name for it in its archives directory: "nginx_1.26.3-3_amd64.deb", with ":" as "%3a". */
  readonly fileName: string;
  readonly sizeBytes: number;
  /** Algorithm and lower-case hex digest: "SHA256:…". */
  readonly hash: string;
}

/** One difference between two package sets; an empty version means the package is not there. */
export interface PackageChange {
  readonly name: string;
  readonly architecture: string;
  readonly from: string;
  readonly to: string;
}

/** The package a set holds, as dpkg knows it. */
export interface InstalledPackage {
  readonly name: string;
  readonly architecture: string;
  readonly version: string;
}

/** Everything the later stages need, decided once. */
export interface Plan {
  /** The snapshot the plan was made against; a later one means planning again. */
  readonly epoch: number;
  /** Commit of the base the tree is built from. */
  readonly baseCommit: string;
  /** Where the base comes from: "debian:debian/trixie" or a local ref. */
  readonly baseRefspec: string;
  /** The whole set of requested packages of the new deployment, sorted. */
  readonly requested: readonly string[];
  /** What is asked for and needs nothing done, as the base has it already, or has not what an override was for; kept in the origin. */
  readonly inactive: readonly string[];
  /** What apt will download, in its words; empty where the new deployment is the bare base. */
  readonly archives: readonly Archive[];
  /** Generation of the package lists the plan was solved with. */
  readonly listsGeneration: string;
  /** Key of the layer: digest of all that decides its content; empty for the bare base. */
  readonly layerKey: string;
  /** Digest of the host's answers to debconf; absent where it has none. */
  readonly answers?: string;
  /** False where the new deployment would be the one that is already the default. */
  readonly changed: boolean;
  /** What the deployment that it starts from was made from. Plans in the journal of an older daemon have it not. */
  readonly from?: TreeState;
  /** What the new deployment is made from. Plans in the journal of an older daemon have it not: see `treeOfPlan`. */
  readonly to?: TreeState;
  /** Packages of the base that are not in the new tree, by name. */
  readonly removals?: readonly string[];
  /** Maintainer scripts may use the network. */
  readonly scriptNetwork?: boolean;
  /** The layer is made anew, though it is remembered. */
  readonly rebuild?: boolean;
}

/** What the new deployment of a plan is made from. */
export function treeOfPlan(plan: Plan): TreeState {
  return plan.to ?? treeStateOf({ refspec: plan.baseRefspec, baseCommit: plan.baseCommit, requested: plan.requested });
}

/** What is to be done, as a name that a person can approve: equal for two plans that lead to the same tree. 40 hex digits. */
export function planDigest(plan: Plan): string {
  const { archives, removals = [], answers, scriptNetwork = false, rebuild = false } = plan;
  const files = archives.map(({ fileName, hash }) => `${fileName} ${hash}`).sort();
  return digestOf({ to: treeOfPlan(plan), files, removals, answers, scriptNetwork, rebuild }).slice(0, 40);
}

/** The digest of a JSON value with sorted keys: equal values, equal digests. */
export function digestOf(value: unknown): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}

/** JSON with the keys of every object sorted. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value).filter(([, v]) => v !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** The differences between two package sets, sorted by name and architecture. */
export function diffPackages(from: readonly InstalledPackage[], to: readonly InstalledPackage[]): PackageChange[] {
  const key = (p: InstalledPackage): string => `${p.name}:${p.architecture}`;
  const before = new Map(from.map((p) => [key(p), p]));
  const after = new Map(to.map((p) => [key(p), p]));
  const changes: PackageChange[] = [];
  for (const [k, p] of before) {
    const other = after.get(k);
    if (other?.version !== p.version) changes.push({ name: p.name, architecture: p.architecture, from: p.version, to: other?.version ?? "" });
  }
  for (const [k, p] of after) {
    if (!before.has(k)) changes.push({ name: p.name, architecture: p.architecture, from: "", to: p.version });
  }
  return changes.sort((a, b) => order(a.name, b.name) || order(a.architecture, b.architecture));
}

/** By code unit, whatever the locale. */
function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
