/** Undoing: the state of a tree with one transaction's change taken out of it, where that still applies. */
import { AptOstreeError } from "./errors.ts";
import type { UndoOf } from "./transaction.ts";
import { TREE_LISTS, type TreeList, type TreeState, treeStateOf, withoutPin } from "./tree.ts";

/** How what stands in a list is called. */
const IS: Readonly<Record<TreeList, string>> = {
  requested: "requested",
  requestedLocal: "requested",
  removed: "removed from the base",
  replaced: "replaced",
  replacedLocal: "replaced",
};

/** The state with one transaction's change taken out of it; what came later stays. Throws Conflict, naming what stands in the way. */
export function undone(undo: UndoOf, now: TreeState): TreeState {
  const [from, to] = [treeStateOf(undo.from), treeStateOf(undo.to)];
  const movesBase = from.baseCommit !== to.baseCommit;
  if (movesBase && now.baseCommit !== to.baseCommit)
    throw noLongerApplies(undo, "the base was changed since then", { baseCommit: now.baseCommit, expected: to.baseCommit });
  // An older daemon's journal does not say what was followed.
  const movesRefspec = from.refspec !== "" && from.refspec !== to.refspec;
  if (movesRefspec && now.refspec !== to.refspec)
    throw noLongerApplies(undo, `the deployment follows ${now.refspec} since then`, { refspec: now.refspec, expected: to.refspec });
  const turns = from.followsApt !== to.followsApt && now.followsApt === to.followsApt;
  const lists = TREE_LISTS.map((list) => [list, listWithout(undo, list, from[list], to[list], now[list])] as const);
  const changes = lists.some(([list, after]) => after.join() !== now[list].join());
  if (!movesBase && !movesRefspec && !turns && !changes) throw noLongerApplies(undo, "there is nothing left of it to undo", {});
  return {
    ...now,
    ...(Object.fromEntries(lists) as Record<TreeList, string[]>),
    baseCommit: movesBase ? from.baseCommit : now.baseCommit,
    refspec: movesRefspec ? from.refspec : now.refspec,
    followsApt: turns ? from.followsApt : now.followsApt,
  };
}

/** The refusal of an undo: a Conflict. */
export function noLongerApplies(undo: UndoOf, why: string, details: Readonly<Record<string, unknown>>): AptOstreeError {
  return new AptOstreeError("Conflict", `cannot undo ${undo.transaction}: it no longer applies: ${why}`, {
    details: { transaction: undo.transaction, ...details },
  });
}

function listWithout(undo: UndoOf, list: TreeList, from: readonly string[], to: readonly string[], now: readonly string[]): string[] {
  const going = to.filter((spec) => !from.includes(spec));
  const missing = going.filter((spec) => !now.includes(spec));
  if (missing.length > 0) throw noLongerApplies(undo, `${missing.join(", ")} is not ${IS[list]} any more`, { packages: missing });
  const staying = now.filter((spec) => !going.includes(spec));
  const coming = from.filter((spec) => !to.includes(spec) && !staying.includes(spec));
  const names = new Set(coming.map(withoutPin));
  const inTheWay = staying.filter((spec) => names.has(withoutPin(spec)));
  if (inTheWay.length > 0) throw noLongerApplies(undo, `${inTheWay.join(", ")} is ${IS[list]} now`, { packages: inTheWay });
  return [...staying, ...coming].sort();
}
