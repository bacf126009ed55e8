/** Why a package is in a tree: from the dpkg database, apt's marks, and what people asked for. */
import { setImmediate as othersTurn } from "node:timers/promises";
import { AptOstreeError } from "../../model/errors.ts";
import type { Revision, Why } from "../../model/inspection.ts";
import { isPattern, matchesPattern, packageName } from "../../model/names.ts";
import type { InstalledPackage } from "../../model/plan.ts";
import type { Deployment } from "../../model/sysroot.ts";
import { BARE_TREE } from "../../model/tree.ts";
import { satisfies } from "../../model/treeafter.ts";
import { keyOf, PackageGraph } from "../../model/why.ts";
import { commitMetadata, METADATA } from "../ostree/commits.ts";
import type { Paths } from "../paths.ts";
import { autoMarksOf, relatedPackagesOf } from "./database.ts";

/** What is asked. */
export interface PresenceQuestion {
  readonly revision: Revision;
  /** "NAME", or "NAME:ARCHITECTURE". */
  readonly spec: string;
  /** The deployment of that commit, where it is deployed: only its origin knows what people asked for. */
  readonly deployment: Deployment | undefined;
  packagesOf(commit: string): Promise<readonly InstalledPackage[]>;
}

/** Why a package is there. Throws NotFound where it is not. */
export async function explainPresence(paths: Paths, question: PresenceQuestion): Promise<Why> {
  const { revision, spec, deployment } = question;
  const tree = deployment?.origin ?? BARE_TREE;
  const packages = await relatedPackagesOf(paths, revision.commit);
  const found = packages.find((one) => satisfies([one], spec));
  if (found === undefined) {
    const why = tree.removed.includes(packageName(spec)) ? "an override removes it from the base" : "why-not says what stands in its way";
    throw new AptOstreeError("NotFound", `cannot explain ${spec}: it is not in ${revision.name}; ${why}`, {
      details: { package: spec, commit: revision.commit },
    });
  }
  const baseCommit = deployment?.origin.baseCommit ?? (await commitMetadata(paths, revision.commit, METADATA.baseCommit));
  const base = baseCommit === "" || baseCommit === revision.commit ? packages : await question.packagesOf(baseCommit);
  const inBase = base.some((one) => keyOf(one) === keyOf(found) && (one.version === found.version || tree.followsApt));
  const layered = [...tree.requested, ...tree.requestedLocal];
  const replacing = [...tree.replaced, ...tree.replacedLocal].filter((one) => names(one, found));
  const requests = [...layered.filter((one) => names(one, found)), ...replacing];

  const autos = await autoMarksOf(paths, revision.commit);
  // apt marks packages for all architectures under the native one.
  const isAuto = (one: InstalledPackage): boolean =>
    autos.has(keyOf(one)) || (one.architecture === "all" && [...autos].some((mark) => mark.startsWith(`${one.name}:`)));
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

/** Whether a request, with a suite or as a pattern too, names a package. */
function names(request: string, one: InstalledPackage): boolean {
  return isPattern(request) ? matchesPattern(one.name, request) : satisfies([one], request.replace(/\/.*$/, ""));
}
