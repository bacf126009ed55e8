/**
 * The lock manager: a pure, synchronous core (`LockManager`) and the promises around it (`Locks`).
 *
 * Deadlock is impossible by construction: a request names all its needs and takes all of them or none, an owner has one
 * request at a time, and the only thing a holder may ask for later is U to D, which never waits.
 * Starvation is impossible because order is by arrival among the persons' requests, and a background request counts as one of
 * those once it has aged.
 */
import { AptOstreeError } from "../model/errors.ts";
import { Barred, compatible, holdsBack, type LockMode, type Need, orderNeeds, type Resource } from "./lock-table.ts";

/** `interactive`: a person waits for it. `background`: timers, prefetch, cache warming. */
export type LockPriority = "interactive" | "background";

/** How long a request waits before it has aged, in milliseconds, unless the manager is told otherwise. */
export const DEFAULT_AGE_MS = 30_000;

/** A request for locks, from its queueing to its release; changed only by its manager. */
export interface Ticket {
  readonly owner: string;
  /** In the total order of the resources; modes change with an upgrade. */
  readonly needs: readonly Need[];
  readonly priority: LockPriority;
  /** `waiting` holds nothing, `granted` holds all its needs; `released` and `cancelled` are final. */
  readonly state: "waiting" | "granted" | "released" | "cancelled";
  /** By the manager's clock, milliseconds. */
  readonly requestedMs: number;
  /** By the manager's clock, milliseconds; null while it waits. */
  readonly grantedMs: number | null;
}

/** Why one need of a waiting ticket cannot be met. */
export interface Obstacle {
  readonly resource: Resource;
  readonly mode: LockMode;
  /** Owners that hold the resource in a mode that excludes this one, oldest grant first. */
  readonly heldBy: readonly string[];
  /** Owners of waiting requests that are ahead and exclude it, first in line first. */
  readonly behind: readonly string[];
}

/** One change of who holds what and who waits: the ticket as it is after it. */
export interface LockChange {
  readonly what: "request" | "grant" | "upgrade" | "release" | "cancel" | "prioritise";
  /** By the manager's clock, milliseconds; what one call brings about has one time. */
  readonly atMs: number;
  readonly owner: string;
  readonly needs: readonly Need[];
  readonly priority: LockPriority;
}

/** What a manager is made with. */
export interface LockManagerOptions {
  /** A clock that never goes back, in milliseconds. */
  readonly now: () => number;
  /** See `DEFAULT_AGE_MS`. */
  readonly ageMs?: number;
  /** Called once for each ticket, after the manager is consistent again; it may call back into the manager. */
  readonly onGrant?: (ticket: Ticket) => void;
  /** Called after every change of holders or queue. */
  readonly onChange?: () => void;
  /** Called at each change, in the order in which they take effect; it must not call back into the manager. */
  readonly onEvent?: (change: LockChange) => void;
}

interface Entry extends Ticket {
  needs: readonly Need[];
  priority: LockPriority;
  state: Ticket["state"];
  grantedMs: number | null;
}

/** Who holds what and who waits in which order. No timers, no promises; every call leaves nothing grantable waiting. */
export class LockManager {
  /** See `DEFAULT_AGE_MS`. */
  readonly ageMs: number;
  readonly #now: () => number;
  readonly #onGrant: (ticket: Ticket) => void;
  readonly #onChange: () => void;
  readonly #onEvent: (change: LockChange) => void;
  /** By owner, in the order of arrival. */
  readonly #waiting = new Map<string, Entry>();
  /** By owner, in the order of the grants. */
  readonly #granted = new Map<string, Entry>();

  constructor(options: LockManagerOptions) {
    this.#now = options.now;
    this.ageMs = options.ageMs ?? DEFAULT_AGE_MS;
    this.#onGrant = options.onGrant ?? (() => undefined);
    this.#onChange = options.onChange ?? (() => undefined);
    this.#onEvent = options.onEvent ?? (() => undefined);
  }

  /**
   * Queues a request and grants it at once where nothing stands against it. Throws Internal where the owner has a ticket
   * already (holding one while waiting for another is how deadlocks are made) or a resource is named twice.
   */
  request(owner: string, needs: readonly Need[], options: { priority: LockPriority }): Ticket {
    if (this.find(owner) !== null) throw new AptOstreeError("Internal", `internal error: ${owner} asks for locks while it has or awaits others`);
    const entry: Entry = {
      owner,
      needs: orderNeeds(needs),
      priority: options.priority,
      state: "waiting",
      requestedMs: this.#now(),
      grantedMs: null,
    };
    this.#waiting.set(owner, entry);
    this.#changed("request", entry, entry.requestedMs);
    return entry;
  }

  /** Gives up what a granted ticket holds; false where it holds nothing (any more). */
  release(ticket: Ticket): boolean {
    const entry = this.#granted.get(ticket.owner);
    if (entry === undefined || entry !== ticket) return false;
    this.#granted.delete(entry.owner);
    entry.state = "released";
    this.#changed("release", entry);
    return true;
  }

  /** Takes a waiting ticket out of the queue; false where it does not wait (any more). */
  cancel(ticket: Ticket): boolean {
    const entry = this.#waiting.get(ticket.owner);
    if (entry === undefined || entry !== ticket) return false;
    this.#waiting.delete(entry.owner);
    entry.state = "cancelled";
    this.#changed("cancel", entry);
    return true;
  }

  /**
   * Turns a granted U into D, at once: whoever stands beside U stands beside D too, and what waits cannot be ahead of a
   * holder. Throws Internal where the ticket does not hold that resource as U.
   */
  upgrade(ticket: Ticket, resource: Resource, mode: "D"): void {
    const entry = this.#granted.get(ticket.owner);
    if (entry === undefined || entry !== ticket || !entry.needs.some((need) => need.resource === resource && need.mode === "U"))
      throw new AptOstreeError("Internal", `internal error: ${ticket.owner} upgrades ${resource} without holding it for update`);
    entry.needs = entry.needs.map((need) => (need.resource === resource ? { resource, mode } : need));
    this.#changed("upgrade", entry);
  }

  /** Changes the class of a ticket in place: a person has come to want what a timer had asked for. */
  prioritise(ticket: Ticket, priority: LockPriority): void {
    const entry = this.#waiting.get(ticket.owner) ?? this.#granted.get(ticket.owner);
    if (entry === undefined || entry !== ticket || entry.priority === priority) return;
    entry.priority = priority;
    this.#changed("prioritise", entry);
  }

  /**
   * Grants whatever can be granted, all compatible neighbours together. Every change does this by itself; calling it between
   * changes only lets a request that has aged meanwhile move up earlier.
   */
  settle(): void {
    this.#settle(this.#now());
  }

  #changed(what: LockChange["what"], entry: Entry, nowMs = this.#now()): void {
    this.#tell(what, entry, nowMs);
    this.#settle(nowMs);
  }

  #tell(what: LockChange["what"], { owner, needs, priority }: Entry, atMs: number): void {
    this.#onEvent({ what, atMs, owner, needs, priority });
  }

  /** Sees everything at one time, so that nothing ages half-way through. */
  #settle(nowMs: number): void {
    const granted: Entry[] = [];
    const barred = new Barred();
    for (const entry of this.#granted.values()) barred.add(entry.needs, true);
    for (const entry of this.#inOrder(nowMs)) {
      if (barred.admits(entry.needs)) {
        this.#waiting.delete(entry.owner);
        this.#granted.set(entry.owner, entry);
        entry.state = "granted";
        entry.grantedMs = nowMs;
        barred.add(entry.needs, true);
        granted.push(entry);
        this.#tell("grant", entry, nowMs);
      } else {
        barred.add(entry.needs, this.#aged(entry, nowMs));
      }
    }
    for (const entry of granted) this.#onGrant(entry);
    this.#onChange();
  }

  /** The ticket that an owner waits with or holds. */
  find(owner: string): Ticket | null {
    return this.#granted.get(owner) ?? this.#waiting.get(owner) ?? null;
  }

  /** Why a ticket waits, one entry for each need that cannot be met; empty where it does not wait. */
  waitsFor(ticket: Ticket): readonly Obstacle[] {
    if (this.#waiting.get(ticket.owner) !== ticket) return [];
    const nowMs = this.#now();
    const order = this.#inOrder(nowMs);
    const ahead = order.slice(0, order.indexOf(ticket as Entry));
    const obstacles: Obstacle[] = [];
    for (const { resource, mode } of ticket.needs) {
      const meets = (other: Entry, excludes: (otherMode: LockMode) => boolean): boolean =>
        other.needs.some((need) => need.resource === resource && excludes(need.mode));
      const heldBy = [...this.#granted.values()].filter((other) => meets(other, (held) => !compatible(held, mode)));
      const behind = ahead.filter((other) => meets(other, (waiting) => holdsBack(waiting, mode, this.#aged(other, nowMs))));
      if (heldBy.length + behind.length > 0)
        obstacles.push({ resource, mode, heldBy: heldBy.map((other) => other.owner), behind: behind.map((other) => other.owner) });
    }
    return obstacles;
  }

  /** The granted tickets, oldest grant first. */
  holders(): readonly Ticket[] {
    return [...this.#granted.values()];
  }

  /** The waiting tickets, first in line first: the place in it, from 1, is the position shown to people. */
  queue(): readonly Ticket[] {
    return this.#inOrder(this.#now());
  }

  #aged(entry: Entry, nowMs: number): boolean {
    return nowMs - entry.requestedMs >= this.ageMs;
  }

  /** The persons' requests and those that have aged by arrival, then the others by arrival. */
  #inOrder(nowMs: number): Entry[] {
    const first: Entry[] = [];
    const then: Entry[] = [];
    for (const entry of this.#waiting.values()) (entry.priority === "interactive" || this.#aged(entry, nowMs) ? first : then).push(entry);
    return [...first, ...then];
  }
}

/** Locks that are held: released once, whoever calls how often. */
export interface Lease {
  readonly owner: string;
  /** In the total order; modes change with an upgrade. */
  readonly needs: readonly Need[];
  /** Milliseconds between the request and the grant. */
  readonly waitedMs: number;
  release(): void;
  /** Turns U into D. Never waits. Rejects with Internal where the resource is not held as U. */
  upgrade(resource: Resource): Promise<void>;
}

/** How locks are asked for. */
export interface AcquireOptions {
  /** Who asks: a run's id. An owner has one lease, or one wait, at a time. */
  readonly owner: string;
  readonly priority: LockPriority;
  /** Reject with Busy, naming the holder, rather than wait. */
  readonly noWait?: boolean;
  /** Ends the wait with Cancelled; without effect once the locks are granted. */
  readonly signal?: AbortSignal;
}

/** The manager with promises: what the scheduler uses. */
export class Locks {
  /** For looking: `holders`, `queue`, `find`, `waitsFor`, `prioritise`. Change holders only through leases. */
  readonly manager: LockManager;
  readonly #resolvers = new Map<Ticket, (lease: Lease) => void>();

  constructor(options: Omit<LockManagerOptions, "onGrant">) {
    this.manager = new LockManager({ ...options, onGrant: (ticket) => this.#granted(ticket) });
  }

  /**
   * Resolves with the lease as soon as all needs are granted. Rejects with Cancelled when the signal fires first, with Busy under
   * `noWait`, with Internal where the owner has a lease or waits for one.
   */
  async acquire(needs: readonly Need[], options: AcquireOptions): Promise<Lease> {
    const { owner, priority, noWait, signal } = options;
    if (signal?.aborted === true) throw cancelled(needs);
    const ticket = this.manager.request(owner, needs, { priority });
    if (ticket.state === "granted") return this.#lease(ticket);
    if (noWait === true) {
      const obstacles = this.manager.waitsFor(ticket);
      this.manager.cancel(ticket);
      throw busy(needs, obstacles);
    }
    return await new Promise<Lease>((resolve, reject) => {
      const abort = (): void => {
        this.manager.cancel(ticket);
        this.#resolvers.delete(ticket);
        reject(cancelled(needs));
      };
      this.#resolvers.set(ticket, (lease) => {
        signal?.removeEventListener("abort", abort);
        resolve(lease);
      });
      signal?.addEventListener("abort", abort, { once: true });
      // A listener that is added after the event is never called, and what the manager told of the request may have fired it.
      if (signal?.aborted === true) abort();
    });
  }

  #granted(ticket: Ticket): void {
    const resolve = this.#resolvers.get(ticket);
    this.#resolvers.delete(ticket);
    resolve?.(this.#lease(ticket));
  }

  #lease(ticket: Ticket): Lease {
    const manager = this.manager;
    return {
      owner: ticket.owner,
      get needs() {
        return ticket.needs;
      },
      waitedMs: (ticket.grantedMs ?? ticket.requestedMs) - ticket.requestedMs,
      release: () => void manager.release(ticket),
      upgrade: async (resource) => manager.upgrade(ticket, resource, "D"),
    };
  }
}

function cancelled(needs: readonly Need[]): AptOstreeError {
  return new AptOstreeError("Cancelled", `cannot lock ${namesOf(needs)}: cancelled while waiting`);
}

function busy(needs: readonly Need[], obstacles: readonly Obstacle[]): AptOstreeError {
  const holders = [...new Set(obstacles.flatMap((obstacle) => [...obstacle.heldBy, ...obstacle.behind]))];
  return new AptOstreeError("Busy", `cannot lock ${namesOf(needs)}: held or awaited by ${holders.join(", ")}`, {
    details: { holders, resources: obstacles.map((obstacle) => obstacle.resource) },
  });
}

function namesOf(needs: readonly Need[]): string {
  return needs.map((need) => need.resource).join(", ");
}
