/** What a request aims at: which base, and which requested packages. Decided from values alone; nothing is read here. */
import { AptOstreeError } from "../../model/errors.ts";
import { packageName } from "../../model/names.ts";
import type { InstalledPackage } from "../../model/plan.ts";
import type { Origin } from "../../model/sysroot.ts";
import type { Request, TreeState, UndoOf } from "../../model/transaction.ts";

/** A base by its commit, or the one that a refspec stands for when it is looked up. */
export type BaseChoice = { readonly commit: string } | { readonly refspec: string };

/**
 * Upgrade and a bare prefetch take what the base's ref holds now, an undo the base from before; the others keep the base of the
 * deployment they start from. Throws Conflict for an undo that no longer applies.
 */
export function chooseBase(request: Request, origin: Origin): BaseChoice {
  if (request.kind === "undo") return { commit: undone(request, origin).baseCommit };
  const follows = request.kind === "upgrade" || (request.kind === "prefetch" && request.packages.length === 0);
  return follows && origin.refspec !== "" ? { refspec: origin.refspec } : { commit: origin.baseCommit };
}

/**
 * The requested packages of the new deployment, sorted; `base` is what the chosen base has. Throws NotInstalled and ProtectedPackage for
 * an uninstall, naming all of them, and Conflict for an undo that no longer applies.
 */
export function targetPackages(request: Request, origin: Origin, base: readonly InstalledPackage[]): string[] {
  const before = origin.requested;
  if (request.kind === "undo") return [...undone(request, origin).requested];
  if (request.kind === "uninstall") return withoutPackages(request, before, new Set(base.map((p) => p.name)));
  if (request.kind !== "install" && request.kind !== "prefetch") return [...before];
  const added = request.packages.filter((spec) => !satisfies(base, spec));
  const replaced = new Set(added.map(withoutPin));
  // A new version or suite for a package replaces the older request for it.
  return [...new Set([...before.filter((spec) => !replaced.has(withoutPin(spec)) || added.includes(spec)), ...added])].sort();
}

/** Whether the base has what is asked for: that package, and that architecture and version where they are named. A suite is apt's to judge. */
export function satisfies(base: readonly InstalledPackage[], spec: string): boolean {
  const [, name, , architecture, pin, version] = /^([^:=/]+)(:([^=/]+))?([=/])?(.*)$/.exec(spec) ?? [];
  if (pin === "/") return false;
  return base.some(
    (p) =>
      p.name === name &&
      (architecture === undefined || p.architecture === architecture || p.architecture === "all") &&
      (pin === undefined || p.version === version),
  );
}

/** The state with one transaction's change taken out of it; what came later stays. Throws Conflict, naming what stands in the way. */
function undone({ undo }: Request, now: Origin): TreeState {
  if (undo === undefined) throw new AptOstreeError("Internal", "internal error: nobody looked up what is to be undone");
  const { from, to } = undo;
  const movesBase = from.baseCommit !== to.baseCommit;
  if (movesBase && now.baseCommit !== to.baseCommit)
    throw noLongerApplies(undo, "the base was changed since then", { baseCommit: now.baseCommit, expected: to.baseCommit });
  const going = to.requested.filter((spec) => !from.requested.includes(spec));
  const missing = going.filter((spec) => !now.requested.includes(spec));
  if (missing.length > 0) throw noLongerApplies(undo, `${missing.join(", ")} is not requested any more`, { packages: missing });
  const staying = now.requested.filter((spec) => !going.includes(spec));
  const coming = from.requested.filter((spec) => !to.requested.includes(spec) && !staying.includes(spec));
  const names = new Set(coming.map(withoutPin));
  const inTheWay = staying.filter((spec) => names.has(withoutPin(spec)));
  if (inTheWay.length > 0) throw noLongerApplies(undo, `${inTheWay.join(", ")} is requested now`, { packages: inTheWay });
  if (!movesBase && going.length === 0 && coming.length === 0) throw noLongerApplies(undo, "there is nothing left of it to undo", {});
  return { baseCommit: movesBase ? from.baseCommit : now.baseCommit, requested: [...staying, ...coming].sort() };
}

/** The refusal of an undo: a Conflict. */
export function noLongerApplies(undo: UndoOf, why: string, details: Readonly<Record<string, unknown>>): AptOstreeError {
  return new AptOstreeError("Conflict", `cannot undo ${undo.transaction}: it no longer applies: ${why}`, {
    details: { transaction: undo.transaction, ...details },
  });
}

/** "vim:amd64" of "vim:amd64=2:9.1". */
function withoutPin(spec: string): string {
  return spec.replace(/[=/].*$/, "");
}

/** Throws NotInstalled or ProtectedPackage, naming all of them. */
function withoutPackages(request: Request, before: readonly string[], inBase: ReadonlySet<string>): string[] {
  const names = new Set(before.map(packageName));
  const absent = request.packages.filter((spec) => !names.has(packageName(spec)));
  const ofBase = absent.filter((spec) => inBase.has(packageName(spec)));
  if (ofBase.length > 0) {
    throw new AptOstreeError("ProtectedPackage", `cannot uninstall ${ofBase.join(", ")}: part of the base, not layered`, {
      details: { packages: ofBase },
    });
  }
  if (absent.length > 0 && !request.idempotent) {
    throw new AptOstreeError(
      "NotInstalled",
      `cannot uninstall ${absent.join(", ")}: not requested; only packages that were installed by name can be uninstalled`,
      {
        details: { packages: absent },
      },
    );
  }
  const gone = new Set(request.packages.map(packageName));
  return before.filter((spec) => !gone.has(packageName(spec)));
}
