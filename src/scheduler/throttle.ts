/** At most one call in an interval for each key, the last one never lost. */
import type { Clock } from "./clock.ts";

/** One interval for all keys; a key that is not touched costs nothing, and no timer runs. */
export class Throttle {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #call: (key: string) => void;
  readonly #waiting = new Map<string, () => void>();
  readonly #lastMs = new Map<string, number>();

  constructor(clock: Clock, intervalMs: number, call: (key: string) => void) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#call = call;
  }

  /** Calls now, or at the end of the interval. */
  touch(key: string): void {
    if (this.#waiting.has(key)) return;
    const dueMs = (this.#lastMs.get(key) ?? Number.NEGATIVE_INFINITY) + this.#intervalMs - this.#clock.monotonicMs();
    if (dueMs <= 0) this.#fire(key);
    else
      this.#waiting.set(
        key,
        this.#clock.after(dueMs, () => this.#fire(key)),
      );
  }

  /** Calls at once if a call is due, and forgets the key. */
  flush(key: string): void {
    if (this.#waiting.has(key)) this.#fire(key);
    this.#lastMs.delete(key);
  }

  /** Calls no more. */
  close(): void {
    for (const stop of this.#waiting.values()) stop();
    this.#waiting.clear();
  }

  #fire(key: string): void {
    this.#waiting.get(key)?.();
    this.#waiting.delete(key);
    this.#lastMs.set(key, this.#clock.monotonicMs());
    this.#call(key);
  }
}
