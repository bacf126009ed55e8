/** What a run needs of its surroundings; the scheduler gives it. */
import type { RunMessage, StageTiming } from "../model/transaction.ts";
import type { Clock } from "./clock.ts";
import type { Locks } from "./locks.ts";
import type { Meter } from "./meter.ts";
import type { Engines, Journal } from "./ports.ts";
import type { Run } from "./run.ts";
import type { SnapshotHolder } from "./snapshot.ts";

/** The same for all runs of a daemon. */
export interface RunDeps {
  readonly engines: Engines;
  readonly journal: Journal;
  readonly locks: Locks;
  readonly snapshots: SnapshotHolder;
  readonly log: { info(facts: object, text: string): void; error(facts: object, text: string): void };
  readonly clock: Clock;
  readonly meter: Meter;
  readonly bootId: string;
  /** Called after each change of state, progress or messages, after each stage, and once when the run has ended. */
  readonly onState: (run: Run) => void;
  readonly onProgress: (run: Run) => void;
  readonly onMessage: (run: Run, message: RunMessage) => void;
  readonly onStageDone: (run: Run, timing: StageTiming) => void;
  readonly onEnd: (run: Run) => void;
  /** Has written down what has been done to the sysroot. Where that cannot be it ends the daemon and never resolves: the next one looks, and goes on. */
  readonly afterEffect: (run: Run, write: () => Promise<void>) => Promise<void>;
}
