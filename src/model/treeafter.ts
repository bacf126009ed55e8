/** What a request aims at: which base, and what is asked for on top of it. Decided from values alone; nothing is read here. */
import { AptOstreeError } from "./errors.ts";
import { packageName } from "./names.ts";
import type { InstalledPackage } from "./plan.ts";
import type { Request } from "./transaction.ts";
import { localTitle, TREE_LISTS, type TreeList, type TreeState, treeStateOf, withoutPin } from "./tree.ts";
import { undone } from "./undone.ts";

/** A base by its commit, or the one that a refspec stands for when it is looked up, or that a revision in its history names. */
export type BaseChoice = { readonly commit: string } | { readonly refspec: string; readonly revision?: string };

/**
 * Upgrade and a bare prefetch take what the base's ref holds now, a rebase what another ref holds, a deploy what is named, an undo the
 * base from before; the others keep the base of the deployment they start from. Throws Conflict for an undo that no longer applies, and
 * NotFound for a revision where nothing is followed.
 */
export function chooseBase(request: Request, now: TreeState): BaseChoice {
  const { kind, undo, revision } = request;
  if (undo !== undefined) return { commit: undone(undo, now).baseCommit };
  const refspec = request.refspec ?? now.refspec;
  const moves = request.refspec !== undefined || revision !== undefined;
  const follows = kind === "upgrade" || moves || (kind === "prefetch" && request.packages.length === 0);
  if (revision !== undefined && refspec === "")
    throw new AptOstreeError("NotFound", `cannot ${kind} ${revision}: the deployment follows no ref in whose history that could be`);
  if (!follows || refspec === "") return { commit: now.baseCommit };
  return revision === undefined ? { refspec } : { refspec, revision };
}

/**
 * What the new deployment is made from, on the base of that commit; `base` is what that base has, `locals` the request's local packages.
 * Throws NotInstalled, ProtectedPackage, InvalidRequest and Conflict, naming all packages, and Conflict for an undo that no longer applies.
 */
export function treeAfter(
  request: Request,
  start: TreeState,
  base: readonly InstalledPackage[],
  baseCommit: string,
  locals: readonly string[] = [],
): TreeState {
  const now = { ...treeStateOf(start), baseCommit };
  switch (request.kind) {
    case "install":
    case "prefetch":
      return installed(request, now, base, locals);
    case "uninstall":
      return uninstalled(request, now, base);
    case "override":
      return overridden(request, now, base, locals);
    case "reset":
      return reset(request, now);
    case "reinstall":
      requireRequested("reinstall", request, now);
      return now;
    case "rebase":
      return { ...now, refspec: request.refspec ?? now.refspec, followsApt: request.followsApt ?? now.followsApt };
    case "undo":
      if (request.undo === undefined) throw new AptOstreeError("Internal", "internal error: nobody looked up what is to be undone");
      return { ...undone(request.undo, treeStateOf(start)), baseCommit };
    default:
      return now;
  }
}

/** Whether the base has what is asked for: that package, and that architecture and version where they are named. A suite is apt's to judge. */
export function satisfies(base: readonly InstalledPackage[], spec: string): boolean {
  const [, name, , architecture, pin, version] = /^([^:=/]+)(:([^=/]+))?([=/])?([^@]*)/.exec(spec) ?? [];
  if (pin === "/") return false;
  return base.some(
    (p) =>
      p.name === name &&
      (architecture === undefined || p.architecture === architecture || p.architecture === "all") &&
      (pin === undefined || p.version === version),
  );
}

/** What is asked for and needs nothing done on this base: requests that it satisfies, overrides of packages that it has not. */
export function inactiveOf(tree: TreeState, base: readonly InstalledPackage[]): string[] {
  const names = new Set(base.map((p) => p.name));
  const satisfied = [...tree.requested, ...tree.requestedLocal].filter((spec) => satisfies(base, spec));
  const pointless = [...tree.removed, ...tree.replaced, ...tree.replacedLocal].filter((spec) => !names.has(packageName(spec)));
  return [...satisfied, ...pointless].sort();
}

function installed(request: Request, now: TreeState, base: readonly InstalledPackage[], locals: readonly string[]): TreeState {
  refuseBoth(request, now, ["removed", "replaced", "replacedLocal"], [...request.packages, ...locals]);
  const added = request.packages.filter((spec) => !satisfies(base, spec));
  const given = [...added, ...locals];
  const names = new Set(added.map(withoutPin));
  // A new version, suite or file for a package replaces the older request for it.
  const stays = (spec: string): boolean =>
    added.includes(spec) || !(names.has(withoutPin(spec)) || locals.some((local) => isSamePackage(local, spec)));
  return {
    ...now,
    requested: merged(now.requested.filter(stays), added),
    requestedLocal: merged(
      now.requestedLocal.filter((local) => !given.some((spec) => isSamePackage(local, spec))),
      locals,
    ),
  };
}

/** Whether a local package is what a spec names: an architecture that is not named is whichever there is. */
function isSamePackage(local: string, spec: string): boolean {
  const [name, architecture] = withoutPin(spec).split(":");
  return packageName(local) === name && (architecture === undefined || withoutPin(local) === `${name}:${architecture}`);
}

function uninstalled(request: Request, now: TreeState, base: readonly InstalledPackage[]): TreeState {
  const inBase = new Set(base.map((p) => p.name));
  const asked = [...now.requested, ...now.requestedLocal];
  const names = new Set(asked.map(packageName));
  const absent = request.packages.filter((spec) => !names.has(packageName(spec)));
  const ofBase = absent.filter((spec) => inBase.has(packageName(spec)));
  if (ofBase.length > 0) {
    throw new AptOstreeError(
      "ProtectedPackage",
      `cannot uninstall ${ofBase.join(", ")}: part of the base, not layered; "override remove" takes packages out of the base`,
      { details: { packages: ofBase } },
    );
  }
  if (absent.length > 0 && !request.idempotent)
    throw notInstalled(`cannot uninstall ${absent.join(", ")}: not requested; only packages that were installed by name can be uninstalled`, absent);
  const gone = new Set(request.packages.map(packageName));
  const stays = (spec: string): boolean => !gone.has(packageName(spec));
  return { ...now, requested: now.requested.filter(stays), requestedLocal: now.requestedLocal.filter(stays) };
}

function overridden(request: Request, now: TreeState, base: readonly InstalledPackage[], locals: readonly string[]): TreeState {
  const given = [...request.packages, ...locals];
  const names = new Set(given.map(packageName));
  const others = (spec: string): boolean => !names.has(packageName(spec));
  const cleared = { removed: now.removed.filter(others), replaced: now.replaced.filter(others), replacedLocal: now.replacedLocal.filter(others) };
  if (request.action === "reset") {
    if (given.length === 0) return { ...now, removed: [], replaced: [], replacedLocal: [] };
    const known = new Set([...now.removed, ...now.replaced, ...now.replacedLocal].map(packageName));
    const absent = given.filter((spec) => !known.has(packageName(spec)));
    if (absent.length > 0 && !request.idempotent) throw notInstalled(`cannot reset ${absent.join(", ")}: there is no override of that name`, absent);
    return { ...now, ...cleared };
  }
  const pinned = request.action === "remove" ? given.filter((spec) => packageName(spec) !== spec) : [];
  if (pinned.length > 0)
    throw new AptOstreeError("InvalidRequest", `cannot remove ${pinned.join(", ")}: packages of the base are removed by their bare names`);
  const inBase = new Set(base.map((p) => p.name));
  const absent = given.filter((spec) => !inBase.has(packageName(spec)));
  if (absent.length > 0) {
    const titles = absent.map(localTitle).join(", ");
    const instead = request.action === "replace" ? "install" : "uninstall";
    throw notInstalled(`cannot ${request.action} ${titles}: not part of the base; "${instead}" is for layered packages`, absent);
  }
  if (request.action === "remove") return { ...now, ...cleared, removed: merged(cleared.removed, [...names]) };
  return { ...now, ...cleared, replaced: merged(cleared.replaced, request.packages), replacedLocal: merged(cleared.replacedLocal, locals) };
}

function reset({ action }: Request, now: TreeState): TreeState {
  const cleared: TreeList[] = TREE_LISTS.filter((list) => (list.startsWith("requested") ? action !== "overrides" : action !== "layers"));
  return { ...now, ...Object.fromEntries(cleared.map((list) => [list, []])) };
}

function requireRequested(verb: string, request: Request, now: TreeState): void {
  const names = new Set([...now.requested, ...now.requestedLocal, ...now.replaced, ...now.replacedLocal].map(packageName));
  const absent = request.packages.filter((spec) => !names.has(packageName(spec)));
  if (absent.length > 0) throw notInstalled(`cannot ${verb} ${absent.join(", ")}: not requested`, absent);
}

/** A package cannot be layered and overridden at once. Throws Conflict. */
function refuseBoth(request: Request, now: TreeState, lists: readonly TreeList[], given: readonly string[]): void {
  const names = new Set(lists.flatMap((list) => now[list].map(packageName)));
  const both = given.filter((spec) => names.has(packageName(spec)));
  if (both.length === 0) return;
  throw new AptOstreeError(
    "Conflict",
    `cannot ${request.kind} ${both.join(", ")}: an override of the base names it; take that back first with "override reset"`,
    {
      details: { packages: both },
    },
  );
}

function notInstalled(message: string, packages: readonly string[]): AptOstreeError {
  return new AptOstreeError("NotInstalled", message, { details: { packages } });
}

function merged(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])].sort();
}
