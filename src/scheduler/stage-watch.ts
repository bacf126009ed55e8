/** A stop-watch for one stage of a run: what it measures is shown with the result, and counted. */
import type { Kind, Stage, StageTiming } from "../model/transaction.ts";
import type { Clock } from "./clock.ts";
import type { Meter } from "./meter.ts";

/** From asking for the stage's locks to their release. */
export class StageWatch {
  readonly #stage: Stage;
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #askedMs: number;
  #beganMs: number | null = null;

  /** The locks are asked for now. */
  constructor(stage: Stage, { clock, meter }: { readonly clock: Clock; readonly meter: Meter }) {
    this.#stage = stage;
    this.#clock = clock;
    this.#meter = meter;
    this.#askedMs = clock.monotonicMs();
  }

  /** The locks are held and the work begins. */
  began(): void {
    this.#beganMs = this.#clock.monotonicMs();
    this.#meter.observe("lock_wait_seconds", (this.#beganMs - this.#askedMs) / 1000, { stage: this.#stage });
  }

  /** The work has ended well. */
  worked(kind: Kind, cached: boolean): StageTiming {
    const beganMs = this.#beganMs ?? this.#askedMs;
    const timing = { stage: this.#stage, waitedMs: beganMs - this.#askedMs, tookMs: this.#clock.monotonicMs() - beganMs, cached };
    this.#meter.observe("stage_seconds", timing.tookMs / 1000, { kind, stage: this.#stage, cached: String(cached) });
    return timing;
  }

  /** The stage is over, however; `cancelledMs` by the clock's monotonic time where it was cancelled, else 0. */
  ended(cancelledMs: number): void {
    const endedMs = this.#clock.monotonicMs();
    const stage = this.#stage;
    if (this.#beganMs !== null) {
      this.#meter.observe("lock_hold_seconds", (endedMs - this.#beganMs) / 1000, { stage });
      if (stage === "deploying") this.#meter.observe("exclusive_seconds", (endedMs - this.#beganMs) / 1000, {});
    }
    if (cancelledMs > 0) this.#meter.observe("cancel_seconds", (endedMs - cancelledMs) / 1000, { stage });
  }
}
