/** What comes after a run's work: undoing what a failed deployment left, and removing what lies about. Neither can be cancelled. */
import { toErrorValue } from "../model/errors.ts";
import type { RunDeps } from "./run-deps.ts";
import type { RunLocks } from "./run-locks.ts";
import type { RunMessages } from "./run-messages.ts";
import type { Watchdog } from "./watchdog.ts";

/** What it needs of the run. */
export interface AftermathParts {
  readonly runId: string;
  readonly transactionId: string;
  readonly deps: Pick<RunDeps, "engines" | "snapshots" | "log">;
  readonly locks: RunLocks;
  readonly messages: RunMessages;
  readonly watchdog: Watchdog;
}

/** Of one run. */
export class Aftermath {
  readonly #parts: AftermathParts;

  constructor(parts: AftermathParts) {
    this.#parts = parts;
  }

  /** Under the locks of the deployment that failed. Rejects with an `ErrorValue`. */
  async rollBack(): Promise<void> {
    const { deps, locks, transactionId } = this.#parts;
    await this.#guard("rollingBack", async () => {
      await locks.keepForRollback();
      try {
        await deps.engines.rollBack(transactionId);
      } finally {
        await deps.snapshots.refresh();
      }
    });
  }

  /** Gives all locks up. Rejects with an `ErrorValue`. */
  async clean(): Promise<void> {
    const { deps, locks, runId } = this.#parts;
    await this.#guard("cleaning", async () => {
      locks.release();
      await deps.engines.clean(runId);
    });
  }

  /** Turns what was thrown into the value that the machine keeps. */
  async #guard(phase: "rollingBack" | "cleaning", work: () => Promise<void>): Promise<void> {
    const { deps, messages, watchdog, runId } = this.#parts;
    watchdog.enter(phase);
    try {
      await work();
    } catch (error) {
      deps.log.error({ run: runId, err: error }, "clean-up failed");
      const value = toErrorValue(error);
      messages.say("warning", value.message);
      throw value;
    } finally {
      watchdog.leave();
    }
  }
}
