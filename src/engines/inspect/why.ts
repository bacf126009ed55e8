/** Why a package is in a tree: from the dpkg database, apt's marks, and what people asked for. */
import { setImmediate as othersTurn } from "node:timers/promises";
import { AptOstreeError } from "../../model/errors.ts";
import type { Revision, Why } from "../../model/inspection.ts";
import { isPattern, matchesPattern, packageName } from "../../model/names.ts";
import type { InstalledPackage } from "../../model/plan.ts";
import type { Deployment } from "../../model/sysroot.ts";
import { BARE_TREE, type TreeState } from "../../model/tree.ts";
import { satisfies } from "../../model/treeafter.ts";
import { keyOf, PackageGraph, type RelatedPackage } from "../../model/why.ts";
import { commitMetadata, METADATA } from "../ostree/commits.ts";
import type { Paths } from "../paths.ts";
import { autoMarksOf, relatedPackagesOf } from "./database.ts";

/** What is asked, and of which tree. */
export interface PresenceQuestion {
  readonly revision: Revision;
  /** "NAME", or "NAME:ARCHITECTURE". */
  readonly spec: string;
  /** What people asked for; bare where nobody knows. */
  readonly tree: TreeState;
  /** What the tree has, and what its base has. */
  readonly packages: readonly RelatedPackage[];
  readonly base: readonly InstalledPackage[];
  /** Whether a package is there for others only. */
  isAuto(one: InstalledPackage): boolean;
}

/** Why a package is there. Throws NotFound where it is not. */
export async function explainPresence({ revision, spec, tree, packages, base, isAuto }: PresenceQuestion): Promise<Why> {
  const found = packages.find((one) => satisfies([one], spec));
  if (found === undefined) {
    const why = tree.removed.includes(packageName(spec)) ? "an override removes it from the base" : "why-not says what stands in its way";
    throw new AptOstreeError("NotFound", `cannot explain ${spec}: it is not in ${revision.name}; ${why}`, {
      details: { package: spec, commit: revision.commit },
    });
  }
  const inBase = base.some((one) => keyOf(one) === keyOf(found) && (one.version === found.version || tree.followsApt));
  const layered = [...tree.requested, ...tree.requestedLocal];
  const replacing = [...tree.replaced, ...tree.replacedLocal].filter((one) => names(one, found));
  const requests = [...layered.filter((one) => names(one, found)), ...replacing];

  const baseKeys = new Set(base.map(keyOf));
  const manual = packages.filter((one) => baseKeys.has(keyOf(one)) === inBase && !isAuto(one));
  const named = packages.filter((one) => layered.some((request) => names(request, one)));
  const graph = await PackageGraph.of(packages, othersTurn);
  const chain = (inBase ? null : await graph.chain(named, found)) ?? (await graph.chain(manual, found)) ?? [];
  return {
    revision,
    package: { name: found.name, architecture: found.architecture, version: found.version },
    reason: inBase ? "base" : replacing.length > 0 ? "override" : requests.length > 0 ? "requested" : "dependency",
    requests,
    auto: isAuto(found),
    chain,
    wantedBy: await graph.wantedBy(found),
  };
}

/** The question about a commit; `packagesOf` gives the packages of its base. */
export async function presenceIn(
  paths: Paths,
  revision: Revision,
  spec: string,
  deployment: Deployment | undefined,
  packagesOf: (commit: string) => Promise<readonly InstalledPackage[]>,
): Promise<PresenceQuestion> {
  const packages = await relatedPackagesOf(paths, revision.commit);
  const baseCommit = deployment?.origin.baseCommit ?? (await commitMetadata(paths, revision.commit, METADATA.baseCommit));
  const base = baseCommit === "" || baseCommit === revision.commit ? packages : await packagesOf(baseCommit);
  // Only the origin of a deployment knows what people asked for.
  return { revision, spec, tree: deployment?.origin ?? BARE_TREE, packages, base, isAuto: await autoMarksOf(paths, revision.commit) };
}

/** Whether a request, with a suite or as a pattern too, names a package. */
function names(request: string, one: InstalledPackage): boolean {
  return isPattern(request) ? matchesPattern(one.name, request) : satisfies([one], request.replace(/\/.*$/, ""));
}
