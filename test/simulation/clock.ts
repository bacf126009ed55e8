/** Virtual time: nothing passes but what somebody waits for. The order of events is decided by their times and a seed, by nothing else. */
import type { Clock } from "../../src/scheduler/clock.ts";

interface Event {
  readonly atMs: number;
  readonly sequence: number;
  readonly callback: () => void;
  cancelled: boolean;
}

/** The beginning of simulated time, milliseconds since 1970. */
const EPOCH_MS = Date.UTC(2026, 0, 1);

/** A clock whose timers fire in `run`, in order. */
export class VirtualClock implements Clock {
  /** A heap by time, then by the order in which they were asked for. */
  readonly #events: Event[] = [];
  #nowMs = 0;
  #sequence = 0;

  now(): number {
    return EPOCH_MS + this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    this.#sequence += 1;
    const event = { atMs: this.#nowMs + Math.max(0, delayMs), sequence: this.#sequence, callback, cancelled: false };
    this.#push(event);
    return () => {
      event.cancelled = true;
    };
  }

  /** Resolves after a delay. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve);
    });
  }

  /** Lets time pass until `done` says so, or nothing is left that could happen, or the limit has passed. */
  async run(done: () => boolean, limitMs = Number.POSITIVE_INFINITY): Promise<void> {
    const untilMs = this.#nowMs + limitMs;
    for (;;) {
      await settled();
      if (done()) return;
      const event = this.#pop();
      if (event === undefined || event.atMs > untilMs) {
        if (event !== undefined) this.#push(event);
        if (Number.isFinite(untilMs)) this.#nowMs = untilMs;
        return;
      }
      this.#nowMs = event.atMs;
      event.callback();
    }
  }

  #push(event: Event): void {
    let index = this.#events.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#isBefore(index, parent)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #pop(): Event | undefined {
    for (;;) {
      const first = this.#events[0];
      const last = this.#events.pop();
      if (first === undefined || last === undefined) return undefined;
      if (this.#events.length > 0) {
        this.#events[0] = last;
        this.#sink();
      }
      if (!first.cancelled) return first;
    }
  }

  #sink(): void {
    for (let index = 0; ; ) {
      const children = [2 * index + 1, 2 * index + 2].filter((child) => child < this.#events.length);
      const least = children.reduce((best, child) => (this.#isBefore(child, best) ? child : best), index);
      if (least === index) return;
      this.#swap(index, least);
      index = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const [one, other] = [this.#events[a], this.#events[b]];
    if (one === undefined || other === undefined) return false;
    return one.atMs - other.atMs < 0 || (one.atMs === other.atMs && one.sequence < other.sequence);
  }

  #swap(a: number, b: number): void {
    const [one, other] = [this.#events[a], this.#events[b]];
    if (one === undefined || other === undefined) return;
    this.#events[a] = other;
    this.#events[b] = one;
  }
}

/** Resolves once every promise that can go on without time passing has gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
