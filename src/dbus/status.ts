/** The status as text: made at most once for each change, however many ask for it. */
import type { SchedulerApi, SchedulerEvents } from "../scheduler/api.ts";

/** While something runs, estimates go on without any event: then a text is as good as new for so long. */
const FRESH_MS = 1000;
const EVENTS = ["added", "changed", "progress", "finished", "snapshot"] as const satisfies readonly (keyof SchedulerEvents)[];

/** Renders what `Status` answers; in use from construction to `close`. */
export class StatusText {
  readonly #scheduler: SchedulerApi;
  readonly #head: string;
  readonly #outdate = (): void => {
    this.#current = false;
  };
  /** What follows the age in the text. */
  #tail = "";
  #madeMs = 0;
  #current = false;
  #running = false;

  constructor(scheduler: SchedulerApi, version: string) {
    this.#scheduler = scheduler;
    this.#head = `{"version":${JSON.stringify(version)},"staleMs":`;
    for (const event of EVENTS) scheduler.prependListener(event, this.#outdate);
  }

  /** The status as it is now, as JSON. */
  now(): string {
    if (!this.#isFresh()) this.#render();
    return `${this.#head}0,${this.#tail}`;
  }

  /** The status as it was when it was last asked for, with its age in "staleMs": costs nothing but the copy. */
  last(): string {
    if (this.#tail === "" || this.#isFresh()) return this.now();
    return `${this.#head}${Math.max(1, Math.round(performance.now() - this.#madeMs))},${this.#tail}`;
  }

  /** Listens no longer. */
  close(): void {
    for (const event of EVENTS) this.#scheduler.off(event, this.#outdate);
  }

  #isFresh(): boolean {
    return this.#current && (!this.#running || performance.now() - this.#madeMs < FRESH_MS);
  }

  #render(): void {
    const status = this.#scheduler.status();
    this.#tail = JSON.stringify(status).slice(1);
    this.#running = status.transactions.length > 0;
    this.#madeMs = performance.now();
    this.#current = true;
  }
}
