/** What a run is doing, and how much of its stage is done. */
import type { Stage } from "../model/transaction.ts";
import type { Clock } from "./clock.ts";
import type { StageProgress } from "./progress.ts";

/** What is being done, for people, and the bytes of it. */
export interface Doing {
  readonly text: string;
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

/** One run's progress. */
export class RunProgress {
  readonly #clock: Clock;
  #at: StageProgress | null = null;
  #beganMs = 0;
  #doing: Doing = { text: "", bytesDone: 0, bytesTotal: 0 };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The stage, how much of it is done, and since when it works; null before the first. */
  get at(): (StageProgress & { readonly elapsedMs: number }) | null {
    return this.#at === null ? null : { ...this.#at, elapsedMs: this.#clock.monotonicMs() - this.#beganMs };
  }

  get doing(): Doing {
    return this.#doing;
  }

  /** A stage begins to work. */
  begin(stage: Stage): void {
    this.#beganMs = this.#clock.monotonicMs();
    this.#at = { stage, fraction: 0 };
  }

  /** Of the stage so much is done. */
  report(stage: Stage, fraction: number, text = this.#doing.text, bytes?: { done: number; total: number }): void {
    this.#at = { stage, fraction };
    this.#doing = { text, bytesDone: bytes?.done ?? 0, bytesTotal: bytes?.total ?? 0 };
  }
}
