/** At most one call in an interval for each key, the last one never lost. */
export class Throttle {
  readonly #intervalMs: number;
  readonly #call: (key: string) => void;
  readonly #waiting = new Map<string, NodeJS.Timeout>();
  readonly #lastMs = new Map<string, number>();

  constructor(intervalMs: number, call: (key: string) => void) {
    this.#intervalMs = intervalMs;
    this.#call = call;
  }

  /** Calls now, or at the end of the interval. */
  touch(key: string): void {
    if (this.#waiting.has(key)) return;
    const dueMs = (this.#lastMs.get(key) ?? 0) + this.#intervalMs - performance.now();
    if (dueMs <= 0) this.#fire(key);
    else
      this.#waiting.set(
        key,
        setTimeout(() => this.#fire(key), dueMs),
      );
  }

  /** Calls at once if a call is due, and forgets the key. */
  flush(key: string): void {
    if (this.#waiting.has(key)) this.#fire(key);
    this.#lastMs.delete(key);
  }

  #fire(key: string): void {
    clearTimeout(this.#waiting.get(key));
    this.#waiting.delete(key);
    this.#lastMs.set(key, performance.now());
    this.#call(key);
  }
}
