/** How long transactions are willing to wait: whoever will not, or has waited long enough, is told for whom it would have to. */
import type { AptOstreeError } from "../model/errors.ts";
import { titleOf } from "../model/request.ts";
import type { Clock } from "./clock.ts";
import { busy } from "./endings.ts";
import type { Member } from "./members.ts";
import type { Waiting } from "./waiting.ts";

/** What patience needs of the scheduler. */
export interface PatienceParts {
  readonly clock: Clock;
  readonly waitingOf: (member: Member) => Waiting;
  /** Ends the member's part in its run. */
  readonly leave: (member: Member, error: AptOstreeError) => void;
}

/** Looks after the limits that transactions have set to their waiting. */
export class Patience {
  readonly #parts: PatienceParts;

  constructor(parts: PatienceParts) {
    this.#parts = parts;
  }

  /** Begins to count; a limit that was journalled counts from when the transaction was made. */
  begin(member: Member): void {
    const { waitTimeoutMs } = member.row.scheduling;
    if (waitTimeoutMs === 0) return;
    const dueMs = member.row.createdMs + waitTimeoutMs - this.#parts.clock.now();
    member.stopWaiting = this.#parts.clock.after(Math.max(dueMs, 0), () => this.check(member, true));
  }

  /** Ends a member that waits though it will not, or not any more. A timer may be a moment early, and is believed. */
  check(member: Member, isDue = false): void {
    const { noWait, waitTimeoutMs } = member.row.scheduling;
    if ((!noWait && waitTimeoutMs === 0) || member.ending || !member.announced || !member.run.cancellable) return;
    if (!noWait && !isDue && this.#parts.clock.now() < member.row.createdMs + waitTimeoutMs) return;
    const waiting = this.#parts.waitingOf(member);
    if (waiting.text === "") return;
    const why = `${noWait ? "" : `after ${Math.round(waitTimeoutMs / 1000)} s it still waits: `}${waiting.text}`;
    this.#parts.leave(member, busy(titleOf(member.row.request), why, waiting.holders));
  }
}
