/** The locks of one run: one lease at a time, kept from assembling to deploying so that nobody deploys in between. */
import type { RequestClass, Stage } from "../model/transaction.ts";
import type { Lease, Locks } from "./locks.ts";
import { NEEDS_OF } from "./needs.ts";

/** What a run holds. */
export class RunLocks {
  readonly #owner: string;
  readonly #locks: Locks;
  #lease: Lease | undefined;

  constructor(owner: string, locks: Locks) {
    this.#owner = owner;
    this.#locks = locks;
  }

  /** Whether the sysroot is held for an update, or for more. */
  get updatesSysroot(): boolean {
    return this.#lease?.needs.some(({ resource, mode }) => resource === "sysroot" && mode !== "P" && mode !== "F") === true;
  }

  /** Resolves with the locks of a stage held; those of the one before are given up, or become these. Rejects with Cancelled on the signal. */
  async take(stage: Stage, requestClass: RequestClass, signal: AbortSignal): Promise<void> {
    if (stage === "deploying" && this.#lease !== undefined) {
      await this.#lease.upgrade("sysroot");
      return;
    }
    this.release();
    const priority = requestClass === "timer" ? "background" : "interactive";
    this.#lease = await this.#locks.acquire(NEEDS_OF[stage], { owner: this.#owner, priority, signal });
  }

  /** What was being deployed is undone under the same locks, or under new ones after a restart. */
  async keepForRollback(): Promise<void> {
    this.#lease ??= await this.#locks.acquire(NEEDS_OF.deploying, { owner: this.#owner, priority: "interactive" });
  }

  /** Gives up whatever is held. */
  release(): void {
    this.#lease?.release();
    this.#lease = undefined;
  }
}
