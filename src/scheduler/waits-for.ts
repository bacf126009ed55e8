/** Who waits for whom: the edges, the cycle that there must never be, and all of it in one value for people who look for a mistake. */
import { checkHistory, type Violation } from "./lock-check.ts";
import type { LockHistory } from "./lock-history.ts";
import type { LockMode, Need, Resource } from "./lock-table.ts";
import type { LockManager, LockPriority, Obstacle, Ticket } from "./locks.ts";

/** One owner waits for another. */
export interface WaitsForEdge {
  readonly from: string;
  readonly to: string;
  readonly resource: Resource;
  /** That the waiting owner asks for. */
  readonly mode: LockMode;
  /** `held`: the other holds the resource; `behind`: it waits for it too, further ahead. */
  readonly reason: "held" | "behind";
}

/** What a report says of each ticket; times by the manager's clock, milliseconds. */
export interface ReportedTicket {
  readonly owner: string;
  readonly needs: readonly Need[];
  readonly priority: LockPriority;
  readonly requestedMs: number;
  /** Null while it waits. */
  readonly grantedMs: number | null;
}

/** The locks at one moment, as a JSON value. */
export interface LockReport {
  /** Oldest grant first. */
  readonly holders: readonly ReportedTicket[];
  /** First in line first. */
  readonly waiting: readonly (ReportedTicket & { readonly obstacles: readonly Obstacle[] })[];
  readonly graph: readonly WaitsForEdge[];
  /** Owners that wait for each other in a circle; null, or the locks are broken. */
  readonly cycle: readonly string[] | null;
  /** How many changes `violations` was looked for in. */
  readonly historyLength: number;
  /** Empty, or the locks are broken. */
  readonly violations: readonly Violation[];
}

/** What the locks look like now, and whether they kept their rules. Walks the whole history: for people, not for status. */
export function lockReport(manager: LockManager, history: LockHistory): LockReport {
  const graph = waitsForGraph(manager);
  return {
    holders: manager.holders().map(reported),
    waiting: manager.queue().map((ticket) => ({ ...reported(ticket), obstacles: manager.waitsFor(ticket) })),
    graph,
    cycle: findCycle(graph),
    historyLength: history.length,
    violations: checkHistory(history.events(), manager.ageMs),
  };
}

/** An edge for each owner that stands against a need of a waiting one. */
export function waitsForGraph(manager: LockManager): readonly WaitsForEdge[] {
  return manager.queue().flatMap((ticket) =>
    manager.waitsFor(ticket).flatMap(({ resource, mode, heldBy, behind }) => {
      const edge = (reason: WaitsForEdge["reason"]) => (to: string) => ({ from: ticket.owner, to, resource, mode, reason });
      return [...heldBy.map(edge("held")), ...behind.map(edge("behind"))];
    }),
  );
}

/** Owners that wait for each other in a circle, each for the next and the last for the first; null where there is none. */
export function findCycle(edges: readonly Pick<WaitsForEdge, "from" | "to">[]): readonly string[] | null {
  const targets = new Map<string, string[]>();
  for (const { from } of edges) targets.set(from, []);
  for (const { from, to } of edges) targets.get(from)?.push(to);
  // Whoever waits only for those who wait for nobody will be served: what is left when all of those are gone waits for ever.
  for (let served = true; served; ) {
    served = false;
    for (const [from, to] of targets) {
      const left = to.filter((owner) => targets.has(owner));
      targets.set(from, left);
      if (left.length === 0) served = targets.delete(from);
    }
  }
  const path: string[] = [];
  for (let owner = [...targets.keys()][0]; owner !== undefined; owner = targets.get(owner)?.[0]) {
    if (path.includes(owner)) return path.slice(path.indexOf(owner));
    path.push(owner);
  }
  return null;
}

function reported({ owner, needs, priority, requestedMs, grantedMs }: Ticket): ReportedTicket {
  return { owner, needs, priority, requestedMs, grantedMs };
}
