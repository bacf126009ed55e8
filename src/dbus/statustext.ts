/** The answer to Status: made into text at most once for each change, however many ask. */
import type { SchedulerApi } from "../scheduler/api.ts";

/** Holds the text. Whoever hears of a change says so by `invalidate`. */
export class StatusText {
  readonly #scheduler: Pick<SchedulerApi, "status">;
  readonly #version: string;
  readonly #now: () => number;
  /** Everything behind the age. */
  #rest = "";
  #isCurrent = false;
  /** Since when `#rest` may be old; 0 where it is not. */
  #outdatedMs = 0;

  constructor(scheduler: Pick<SchedulerApi, "status">, version: string, now: () => number = () => Date.now()) {
    this.#scheduler = scheduler;
    this.#version = version;
    this.#now = now;
  }

  /** The state has changed. */
  invalidate(): void {
    if (!this.#isCurrent) return;
    this.#isCurrent = false;
    this.#outdatedMs = this.#now();
  }

  /** The state as it is. */
  current(): string {
    if (!this.#isCurrent) {
      this.#rest = JSON.stringify(this.#scheduler.status()).slice(1);
      this.#isCurrent = true;
    }
    return this.#text(0);
  }

  /** The text that was made last, whether the state has changed or not: costs nothing. */
  last(): string {
    if (this.#isCurrent || this.#rest === "") return this.current();
    return this.#text(Math.max(1, this.#now() - this.#outdatedMs));
  }

  #text(staleMs: number): string {
    return `{"version":${JSON.stringify(this.#version)},"staleMs":${staleMs},${this.#rest}`;
  }
}
