/** Deadlines: how long a stage may be quiet before people are warned, and how long it may last at all. */
import type { Stage } from "../model/transaction.ts";
import type { Clock } from "./clock.ts";

/** What is watched: a stage at work, a run that waits for its turn or its locks, and what comes after the work. */
export type Phase = Stage | "waiting" | "rollingBack" | "cleaning";

/** Milliseconds; `absoluteMs` is infinite for what must not be stopped. */
export interface Limits {
  readonly quietMs: number;
  readonly absoluteMs: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/**
 * The limits. The engines have closer ones of their own for single children and connections; these hold whatever an engine forgot,
 * so that nothing lives for ever. A deployment that is being written is never stopped from here: ostree's child has its own limit.
 */
export const LIMITS: Readonly<Record<Phase, Limits>> = {
  waiting: { quietMs: 10 * MINUTE_MS, absoluteMs: 24 * HOUR_MS },
  refreshing: { quietMs: MINUTE_MS, absoluteMs: 30 * MINUTE_MS },
  planning: { quietMs: MINUTE_MS, absoluteMs: 15 * MINUTE_MS },
  downloading: { quietMs: 2 * MINUTE_MS, absoluteMs: 12 * HOUR_MS },
  assembling: { quietMs: 5 * MINUTE_MS, absoluteMs: 26 * HOUR_MS },
  deploying: { quietMs: MINUTE_MS, absoluteMs: Number.POSITIVE_INFINITY },
  pruning: { quietMs: 5 * MINUTE_MS, absoluteMs: 2 * HOUR_MS },
  rollingBack: { quietMs: MINUTE_MS, absoluteMs: Number.POSITIVE_INFINITY },
  cleaning: { quietMs: MINUTE_MS, absoluteMs: Number.POSITIVE_INFINITY },
};

/** What a watchdog does. */
export interface WatchdogOptions {
  readonly clock: Clock;
  readonly limits?: Readonly<Record<Phase, Limits>>;
  /** The warning appeared, changed or went. */
  readonly onWarning: (warning: string) => void;
  /** The absolute limit has passed. */
  readonly onExpired: (phase: Phase, afterMs: number) => void;
}

/** Watches one run, one phase at a time. It has at most one timer, and none between `leave` and `enter`. */
export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #limits: Readonly<Record<Phase, Limits>>;
  #phase: Phase | null = null;
  #enteredMs = 0;
  #touchedMs = 0;
  #warning = "";
  #stop: () => void = () => {};

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#limits = options.limits ?? LIMITS;
  }

  /** For people; empty while all is well. */
  get warning(): string {
    return this.#warning;
  }

  /** Watches another phase from now on. */
  enter(phase: Phase): void {
    this.leave();
    this.#phase = phase;
    this.#enteredMs = this.#options.clock.monotonicMs();
    this.#touchedMs = this.#enteredMs;
    this.#arm();
  }

  /** There was progress. Cheap: the timer that runs finds out by itself. */
  touch(): void {
    this.#touchedMs = this.#options.clock.monotonicMs();
    if (this.#warning !== "") this.#warn("");
  }

  /** Watches nothing. */
  leave(): void {
    this.#stop();
    this.#stop = () => {};
    this.#phase = null;
    if (this.#warning !== "") this.#warn("");
  }

  #arm(): void {
    if (this.#phase === null) return;
    const { quietMs, absoluteMs } = this.#limits[this.#phase];
    const quietAtMs = this.#warning === "" ? this.#touchedMs + quietMs : Number.POSITIVE_INFINITY;
    const dueMs = Math.min(quietAtMs, this.#enteredMs + absoluteMs);
    // A warning that stands is looked at again as often as it may have gone stale.
    const delayMs = Number.isFinite(dueMs) ? dueMs - this.#options.clock.monotonicMs() : quietMs;
    this.#stop = this.#options.clock.after(Math.max(delayMs, 1), () => this.#look());
  }

  #look(): void {
    const phase = this.#phase;
    if (phase === null) return;
    const { quietMs, absoluteMs } = this.#limits[phase];
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#enteredMs >= absoluteMs) {
      this.#phase = null;
      this.#options.onExpired(phase, absoluteMs);
      return;
    }
    if (this.#warning === "" && nowMs - this.#touchedMs >= quietMs) {
      const told = phase === "waiting" ? "it has waited" : `${phase} has made no progress`;
      this.#warn(`${told} for ${durationText(quietMs)}`);
    }
    this.#arm();
  }

  #warn(warning: string): void {
    this.#warning = warning;
    this.#options.onWarning(warning);
  }
}

/** "45 s", "10 min", "12 h". */
export function durationText(durationMs: number): string {
  if (durationMs < 2 * MINUTE_MS) return `${Math.round(durationMs / 1000)} s`;
  return durationMs < 2 * HOUR_MS ? `${Math.round(durationMs / MINUTE_MS)} min` : `${Math.round(durationMs / HOUR_MS)} h`;
}
