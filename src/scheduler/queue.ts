/**
 * The queue in front of the locks: who is to be started next. Pure and synchronous.
 *
 * Classes go by urgency. Within a class uids take turns (start-time fair queueing where each entry costs one, so that virtual
 * times are the numbers of rounds): a uid has one turn in a round, and one that had nothing to run in earlier rounds has no
 * more than that either. Within a uid entries go by arrival. Starvation is impossible because an entry that has aged goes
 * before everything that has not.
 */
import { AptOstreeError } from "../model/errors.ts";
import { REQUEST_CLASSES, type RequestClass } from "../model/transaction.ts";
import { Heap } from "./heap.ts";

/** How long an entry waits before it has aged, in milliseconds, unless the queue is told otherwise. */
export const DEFAULT_QUEUE_AGE_MS = 600_000;

/** What waits in the queue. */
export interface QueueEntry<T> {
  readonly id: string;
  /** Whose turn it uses. */
  readonly uid: number;
  /** Changed by `promote`, in a new entry. */
  readonly requestClass: RequestClass;
  /** By the queue's clock, milliseconds; entries of the same millisecond keep the order in which they were added. */
  readonly arrivedMs: number;
  readonly value: T;
}

interface Item<T> {
  entry: QueueEntry<T>;
  readonly seq: number;
  readonly front: boolean;
  blocked: boolean;
}

/** Entries that wait to be started. Nothing but `order` takes longer than logarithmic time. */
export class FairQueue<T> {
  readonly #now: () => number;
  readonly #ageMs: number;
  /** All, by id. Those that are not blocked are in `#byArrival` and in their lane too. */
  readonly #items = new Map<string, Item<T>>();
  readonly #byArrival = new Heap<Item<T>>(arrivedBefore);
  readonly #lanes: Readonly<Record<RequestClass, Lane<T>>> = { interactive: new Lane(), gui: new Lane(), timer: new Lane() };
  #added = 0;
  #changes = 0;

  /** `now` is a clock that never goes back; `ageMs`: see `DEFAULT_QUEUE_AGE_MS`. */
  constructor(options: { now: () => number; ageMs?: number }) {
    this.#now = options.now;
    this.#ageMs = options.ageMs ?? DEFAULT_QUEUE_AGE_MS;
  }

  /** How many wait, blocked ones included. */
  get size(): number {
    return this.#items.size;
  }

  /** Rises whenever the order of those that wait may have changed otherwise than by ageing. */
  get changes(): number {
    return this.#changes;
  }

  /**
   * Takes in an entry. With `front` it goes before all others of its class, by arrival among its like, and uses no turn: for
   * work that had its turn already and was interrupted. Throws Internal where an entry of that id waits.
   */
  add(entry: QueueEntry<T>, options: { front?: boolean } = {}): void {
    if (this.#items.has(entry.id)) throw new AptOstreeError("Internal", `internal error: ${entry.id} is queued twice`);
    const item: Item<T> = { entry, seq: this.#added++, front: options.front ?? false, blocked: false };
    this.#items.set(entry.id, item);
    this.#enter(item);
  }

  /** Takes an entry out without its having been started, so that it uses no turn; false where there is none of that id. */
  remove(id: string): boolean {
    const item = this.#items.get(id);
    if (item === undefined) return false;
    this.#items.delete(id);
    if (item.blocked) this.#changes += 1;
    else this.#leave(item);
    return true;
  }

  /** Raises an entry to a more urgent class, where its arrival still counts; false where that changes nothing. */
  promote(id: string, requestClass: RequestClass): boolean {
    const item = this.#items.get(id);
    if (item === undefined || REQUEST_CLASSES.indexOf(requestClass) >= REQUEST_CLASSES.indexOf(item.entry.requestClass)) return false;
    if (!item.blocked) this.#leave(item);
    item.entry = { ...item.entry, requestClass };
    if (item.blocked) this.#changes += 1;
    else this.#enter(item);
    return true;
  }

  /** Passes an entry over until `unblock`; it goes on ageing and keeps its place by arrival. False where that changes nothing. */
  block(id: string): boolean {
    const item = this.#items.get(id);
    if (item === undefined || item.blocked) return false;
    item.blocked = true;
    this.#leave(item);
    return true;
  }

  /** Ends `block`; false where that changes nothing. */
  unblock(id: string): boolean {
    const item = this.#items.get(id);
    if (item === undefined || !item.blocked) return false;
    item.blocked = false;
    this.#enter(item);
    return true;
  }

  /** Takes out the entry whose turn it is among those that are not blocked; undefined where there is none. */
  next(): QueueEntry<T> | undefined {
    const nowMs = this.#now();
    const item = this.#first(nowMs);
    if (item === undefined) return undefined;
    this.#lanes[item.entry.requestClass].charge(item, this.#aged(item, nowMs));
    this.#items.delete(item.entry.id);
    this.#leave(item);
    return item.entry;
  }

  /** All in the order in which `next` would take them out now, then the blocked ones as if those were unblocked and alone. */
  order(): readonly QueueEntry<T>[] {
    const nowMs = this.#now();
    const items = [...this.#items.values()].sort(byArrival);
    return [false, true].flatMap((blocked) => {
      const turns = new Map<string, number>();
      const ranked = items.filter((item) => item.blocked === blocked).map((item) => ({ item, ...this.#rank(item, turns, nowMs) }));
      return ranked.sort((a, b) => a.group - b.group || a.turn - b.turn).map(({ item }) => item.entry);
    });
  }

  /** Where an item stands behind those of earlier arrival, whose uids' next turns are in `turns`: what has aged, then class by class. */
  #rank(item: Item<T>, turns: Map<string, number>, nowMs: number): { group: number; turn: number } {
    const { requestClass, uid } = item.entry;
    const group = REQUEST_CLASSES.indexOf(requestClass);
    const aged = this.#aged(item, nowMs);
    if (item.front) return { group: aged ? -1 : group, turn: -1 };
    const lane = this.#lanes[requestClass];
    const key = `${requestClass} ${uid}`;
    const turn = turns.get(key) ?? lane.turnOf(uid);
    // What has aged comes first, and however much of it there is it costs its uid one turn.
    turns.set(key, aged ? lane.round + 1 : turn + 1);
    return aged ? { group: -1, turn: -1 } : { group, turn };
  }

  #first(nowMs: number): Item<T> | undefined {
    const oldest = this.#byArrival.first();
    if (oldest === undefined || this.#aged(oldest, nowMs)) return oldest;
    return this.#lanes.interactive.first() ?? this.#lanes.gui.first() ?? this.#lanes.timer.first();
  }

  #aged(item: Item<T>, nowMs: number): boolean {
    return nowMs - item.entry.arrivedMs >= this.#ageMs;
  }

  #enter(item: Item<T>): void {
    this.#changes += 1;
    this.#byArrival.add(item);
    this.#lanes[item.entry.requestClass].enter(item);
  }

  #leave(item: Item<T>): void {
    this.#changes += 1;
    this.#byArrival.delete(item);
    this.#lanes[item.entry.requestClass].leave(item);
  }
}

interface Share<T> {
  readonly items: Heap<Item<T>>;
  /** The round in which its uid has its next turn: the present one or the one after. */
  turn: number;
}

/** The entries of one class, with the turns of their uids. */
class Lane<T> {
  round = 0;
  readonly #front = new Heap<Item<T>>(arrivedBefore);
  /** By uid; only those that have entries here. */
  readonly #shares = new Map<number, Share<T>>();
  readonly #byTurn = new Heap<Share<T>>(turnBefore);
  /** The uids that had their turn in this round. They are remembered so that nobody gains by leaving the queue and coming back. */
  readonly #served = new Set<number>();

  first(): Item<T> | undefined {
    return this.#front.first() ?? this.#byTurn.first()?.items.first();
  }

  turnOf(uid: number): number {
    return this.#served.has(uid) ? this.round + 1 : this.round;
  }

  enter(item: Item<T>): void {
    const { uid } = item.entry;
    const share = this.#shares.get(uid);
    if (item.front) this.#front.add(item);
    else if (share === undefined) {
      const added: Share<T> = { items: new Heap(arrivedBefore), turn: this.turnOf(uid) };
      added.items.add(item);
      this.#shares.set(uid, added);
      this.#byTurn.add(added);
    } else {
      share.items.add(item);
      this.#byTurn.moved(share);
    }
  }

  leave(item: Item<T>): void {
    const share = this.#shares.get(item.entry.uid);
    if (this.#front.delete(item) || share === undefined) return;
    share.items.delete(item);
    if (share.items.size > 0) this.#byTurn.moved(share);
    else {
      this.#byTurn.delete(share);
      this.#shares.delete(item.entry.uid);
    }
  }

  /** Notes that an entry, still here, is being started. One that goes because it has aged uses its uid's turn but begins no round. */
  charge(item: Item<T>, aged: boolean): void {
    const share = this.#shares.get(item.entry.uid);
    if (item.front || share === undefined) return;
    if (!aged && share.turn > this.round) {
      this.round = share.turn;
      this.#served.clear();
    }
    this.#served.add(item.entry.uid);
    share.turn = this.round + 1;
  }
}

function byArrival<T>(a: Item<T>, b: Item<T>): number {
  return a.entry.arrivedMs - b.entry.arrivedMs || a.seq - b.seq;
}

function arrivedBefore<T>(a: Item<T>, b: Item<T>): boolean {
  return byArrival(a, b) < 0;
}

function turnBefore<T>(a: Share<T>, b: Share<T>): boolean {
  if (a.turn !== b.turn) return a.turn < b.turn;
  const [headOfA, headOfB] = [a.items.first(), b.items.first()];
  return headOfA !== undefined && headOfB !== undefined && arrivedBefore(headOfA, headOfB);
}
