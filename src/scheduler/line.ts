/** Who stands where in a queue. To work that out means to sort the queue, and it is asked for with every view of everybody who waits. */
import type { Clock } from "./clock.ts";
import type { FairQueue } from "./queue.ts";

/** In a longer line a place may be as old as `FRESH_MS`. */
const SHORT_LINE = 100;
/** Places in line are told no more often than that. */
const FRESH_MS = 1000;

/** The places in one queue. */
export class Line<T> {
  readonly #queue: FairQueue<T>;
  readonly #clock: Clock;
  #places: ReadonlyMap<string, number> = new Map();
  #changes = -1;
  #atMs = Number.NEGATIVE_INFINITY;

  constructor(queue: FairQueue<T>, clock: Clock) {
    this.#queue = queue;
    this.#clock = clock;
  }

  /** The place of an entry of the queue, from 1; who has come since the places were worked out stands at the end. */
  placeOf(id: string): number {
    const old = this.#clock.monotonicMs() - this.#atMs >= FRESH_MS;
    if (old || (this.#changes !== this.#queue.changes && this.#queue.size <= SHORT_LINE)) this.#look();
    return this.#places.get(id) ?? this.#queue.size;
  }

  #look(): void {
    this.#places = new Map(this.#queue.order().map((entry, index) => [entry.id, index + 1]));
    this.#changes = this.#queue.changes;
    this.#atMs = this.#clock.monotonicMs();
  }
}
