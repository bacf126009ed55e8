/** Clients that wait for the next epoch of the sysroot. */
import { AptOstreeError } from "../model/errors.ts";
import type { SchedulerApi } from "../scheduler/api.ts";
import type { Callers } from "./caller.ts";

/** Longer waits end after so long; who still wants to know asks again. */
export const MAX_WAIT_MS = 10 * 60_000;
/** A wait is given to the scheduler in parts, so that one whose client has left is not kept for long. */
const PART_MS = 30_000;

/** The waits that are open, from construction to `close`. */
export class StatusWaits {
  readonly #scheduler: Pick<SchedulerApi, "waitForStatus">;
  readonly #callers: Pick<Callers, "onDeparture">;
  readonly #ends = new Set<() => void>();

  constructor(scheduler: Pick<SchedulerApi, "waitForStatus">, callers: Pick<Callers, "onDeparture">) {
    this.#scheduler = scheduler;
    this.#callers = callers;
  }

  /** How many are open. */
  get size(): number {
    return this.#ends.size;
  }

  /** Resolves when the epoch is above a number, after the timeout, and when the daemon stops. Throws Unavailable when the caller leaves. */
  async until(sender: string, sinceEpoch: number, timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + Math.min(timeoutMs, MAX_WAIT_MS);
    let end: (how: "gone" | "closing") => void = () => undefined;
    const ended = new Promise<"gone" | "closing">((resolve) => {
      end = resolve;
    });
    const close = (): void => end("closing");
    this.#ends.add(close);
    const stopListening = this.#callers.onDeparture(sender, () => end("gone"));
    try {
      for (;;) {
        const leftMs = Math.max(0, Math.ceil(deadlineMs - performance.now()));
        const news = await Promise.race([this.#scheduler.waitForStatus(sinceEpoch, Math.min(leftMs, PART_MS)), ended]);
        if (news === "gone") throw new AptOstreeError("Unavailable", `cannot answer ${sender}: it has left`);
        if (news === "closing" || news.snapshot.epoch > sinceEpoch || performance.now() >= deadlineMs) return;
      }
    } finally {
      stopListening();
      this.#ends.delete(close);
    }
  }

  /** Has everyone answered at once. */
  close(): void {
    for (const end of [...this.#ends]) end();
  }
}
