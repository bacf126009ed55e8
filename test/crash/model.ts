/** What requests may lead to: a model of the sets of requested packages, and of nothing else. */
import type { Deployment } from "../../src/model/sysroot.ts";
import type { TransactionView } from "../../src/model/transaction.ts";
import type { Wish } from "./plan.ts";

/** A set of requested packages as one text. */
export function setOf(packages: readonly string[]): string {
  return [...packages].sort().join(" ");
}

/** Every set that some of the wishes, in some order, may make of the sets that were there. */
export function reachableSets(before: readonly Deployment[], wishes: readonly Wish[]): Set<string> {
  const changes = wishes.filter(({ kind }) => kind === "install" || kind === "uninstall");
  const reached = new Set(before.map((deployment) => setOf(deployment.origin.requested)));
  for (const from of reached) {
    const packages = from.split(" ").filter((name) => name !== "");
    // A set is walked over while it grows, so what is added here has its turn too.
    for (const wish of changes) {
      const others = packages.filter((name) => !wish.packages.includes(name));
      reached.add(setOf(wish.kind === "install" ? [...others, ...wish.packages] : others));
    }
  }
  return reached;
}

/** What is wrong with deployments after a round of wishes: those that nobody can have asked for, and the booted one where it is gone. */
export function unexpectedDeployments(before: readonly Deployment[], after: readonly Deployment[], wishes: readonly Wish[]): string[] {
  const known = new Set(before.map(({ id }) => id));
  const sets = reachableSets(before, wishes);
  const booted = before.find((deployment) => deployment.booted);
  const makers = after.map(({ origin }) => origin.transaction).filter((id) => id !== "");
  return [
    ...after
      .filter(({ id, origin }) => !known.has(id) && !sets.has(setOf(origin.requested)))
      .map(({ id, origin }) => `${id} has ${setOf(origin.requested)}`),
    ...(after.some((deployment) => deployment.booted && deployment.id === booted?.id) ? [] : [`the booted deployment ${booted?.id} is gone`]),
    ...makers.filter((id, index) => makers.indexOf(id) !== index).map((id) => `transaction ${id} made two deployments`),
    ...after.flatMap(incompletePackages),
  ];
}

/** Every package that was asked for is layered, or is in the base. */
function incompletePackages({ id, origin, layered }: Deployment): string[] {
  const there = new Set([...layered.map(({ name }) => name), ...origin.inactive]);
  return origin.requested.filter((name) => !there.has(name)).map((name) => `${id} has no ${name}, which was requested`);
}

/**
 * Finished requests that the default deployment does not show. Only where nothing of the round goes back (rollback, cleanup) is it known
 * what must be there, and of a package only where nobody wanted the opposite.
 */
export function lostResults(deployments: readonly Deployment[], wishes: readonly Wish[], ended: readonly TransactionView[]): string[] {
  if (wishes.some(({ kind }) => kind === "rollback" || kind === "cleanup")) return [];
  const requested = new Set(deployments[0]?.origin.requested ?? []);
  const wanted = (kind: string, name: string): boolean => wishes.some((wish) => wish.kind === kind && wish.packages.includes(name));
  return ended
    .filter(({ state }) => state === "finished")
    .flatMap(({ id, kind, request }) =>
      request.packages
        .filter(
          (name) =>
            (kind === "install" && !wanted("uninstall", name) && !requested.has(name)) ||
            (kind === "uninstall" && !wanted("install", name) && requested.has(name)),
        )
        .map((name) => `${kind} ${name} (${id}) finished, and the default deployment does not show it`),
    );
}
