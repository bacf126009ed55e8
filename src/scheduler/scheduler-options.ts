/** What `src/daemon.ts` makes the scheduler of. */
import type { Clock } from "./clock.ts";
import type { Meter } from "./meter.ts";
import type { Engines, Journal } from "./ports.ts";
import type { RunDeps } from "./run-deps.ts";

/** The ports, and what may differ from daemon to daemon. */
export interface SchedulerOptions {
  readonly engines: Engines;
  readonly journal: Journal;
  readonly log: RunDeps["log"];
  /** The kernel's boot id. */
  readonly bootId: string;
  /** Ended transactions that the journal keeps. */
  readonly keepTransactions: number;
  /** Transactions that one user may have waiting or running; 100 where it is absent. */
  readonly maxActiveOfUser?: number;
  /** Called where the journal cannot be written any more, so that nobody may be told anything: ends the daemon, and the next one goes on. */
  readonly fatal?: (error: unknown) => void;
  readonly clock?: Clock;
  readonly meter?: Meter;
  /** Makes ids; a simulation has its own. */
  readonly makeId?: () => string;
}
