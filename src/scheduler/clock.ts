/** Time as the scheduler sees it, so that a simulation can have another. */

/** Two clocks and a timer. */
export interface Clock {
  /** Milliseconds since 1970: for what is kept and shown. It may jump. */
  now(): number;
  /** Milliseconds that never go back: for intervals. */
  monotonicMs(): number;
  /** Calls back once after the delay; the returned function prevents it. */
  after(delayMs: number, callback: () => void): () => void;
}

/** The longest delay that a timer of Node takes; beyond it fires at once (https://nodejs.org/api/timers.html). */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), MAX_DELAY_MS));
    return () => clearTimeout(timer);
  },
};

/** Resolves after the delay. */
export function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}
