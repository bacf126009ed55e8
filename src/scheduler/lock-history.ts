/** What a lock manager did of late, for the check in `lock-check.ts` and for people who look for a mistake. */
import type { LockChange } from "./locks.ts";

/** How many changes a history keeps, unless it is told otherwise. */
export const DEFAULT_HISTORY_CAPACITY = 10_000;

/** A change with its place in the history. */
export interface LockEvent extends LockChange {
  /** From 1, without gaps. */
  readonly seq: number;
  /** How many owners hold or await locks after it: tells a check whether it knows of all of them. */
  readonly outstanding: number;
}

/** The newest changes of one lock manager; `record` is its `onEvent`, from its first change on. */
export class LockHistory {
  readonly #capacity: number;
  readonly #ring: LockEvent[] = [];
  #seq = 0;
  #outstanding = 0;

  constructor(capacity = DEFAULT_HISTORY_CAPACITY) {
    this.#capacity = capacity;
  }

  /** How many changes it keeps now. */
  get length(): number {
    return this.#ring.length;
  }

  /** Takes in a change, in place of the oldest where it is full. */
  record(change: LockChange): void {
    if (change.what === "request") this.#outstanding += 1;
    if (change.what === "release" || change.what === "cancel") this.#outstanding -= 1;
    this.#ring[this.#seq % this.#capacity] = { ...change, seq: ++this.#seq, outstanding: this.#outstanding };
  }

  /** What it keeps, oldest first. */
  events(): readonly LockEvent[] {
    const oldest = this.#seq % this.#capacity;
    return this.#seq <= this.#capacity ? [...this.#ring] : [...this.#ring.slice(oldest), ...this.#ring.slice(0, oldest)];
  }
}
