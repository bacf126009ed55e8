/** Clients that wait for a new status: their waits end when they leave, and all of them when the service does. */
import type { SchedulerApi } from "../scheduler/api.ts";
import { ProtocolError } from "./faults.ts";

/** How long one call waits at most; who wants to wait longer calls again. */
export const MAX_WAIT_MS = 10 * 60 * 1000;
/** Nobody needs more than one; a program that leaks its calls is told so. */
const MAX_WAITS_OF_CLIENT = 64;

/** The open `WaitStatus` calls, by client. */
export class StatusWaits {
  readonly #scheduler: Pick<SchedulerApi, "waitForStatus">;
  readonly #waits = new Map<string, Set<AbortController>>();

  constructor(scheduler: Pick<SchedulerApi, "waitForStatus">) {
    this.#scheduler = scheduler;
  }

  /** How many calls wait. */
  get size(): number {
    return [...this.#waits.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** Resolves when the epoch is above `sinceEpoch`, after the timeout (cut to `MAX_WAIT_MS`), or when the wait is ended here. */
  async wait(client: string, sinceEpoch: number, timeoutMs: number): Promise<void> {
    const waits = this.#waits.get(client) ?? new Set();
    if (waits.size >= MAX_WAITS_OF_CLIENT) throw new ProtocolError("LimitsExceeded", `cannot wait: ${waits.size} calls of this client wait already`);
    const controller = new AbortController();
    this.#waits.set(client, waits.add(controller));
    try {
      await this.#scheduler.waitForStatus(sinceEpoch, Math.min(timeoutMs, MAX_WAIT_MS), controller.signal);
    } finally {
      waits.delete(controller);
      if (waits.size === 0 && this.#waits.get(client) === waits) this.#waits.delete(client);
    }
  }

  /** Ends the waits of a client that has left. */
  drop(client: string): void {
    for (const controller of this.#waits.get(client) ?? []) controller.abort();
  }

  /** Ends all waits: they are answered with the status as it is. */
  close(): void {
    for (const client of [...this.#waits.keys()]) this.drop(client);
  }
}
