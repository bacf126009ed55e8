/** Runs and those who want them: who leaves takes along what only it wanted, and a run that fails for several is taken apart. */
import type { ErrorValue } from "../model/errors.ts";
import { digestOf } from "../model/plan.ts";
import type { FinalState, Request, RequestClass } from "../model/transaction.ts";
import type { Admission } from "./admission.ts";
import type { Board } from "./board.ts";
import { combineAll } from "./meetings.ts";
import type { Member } from "./members.ts";
import type { Journal } from "./ports.ts";
import type { Run } from "./run.ts";

/** What regrouping needs of the scheduler. */
export interface RegroupingParts {
  readonly board: Board;
  readonly admission: Admission;
  readonly journal: Journal;
  readonly log: { error(facts: object, text: string): void };
  readonly newRun: (request: Request, transactionId: string, requestClass: RequestClass) => Run;
  readonly end: (member: Member, state: FinalState, error: ErrorValue | null) => Promise<void>;
}

interface Part {
  readonly run: Run;
  readonly members: readonly Member[];
  readonly uid: number;
}

/** Changes who shares which run. */
export class Regrouping {
  readonly #parts: RegroupingParts;

  constructor(parts: RegroupingParts) {
    this.#parts = parts;
  }

  /** Has a run carry out another request, where it is another. */
  reshape(run: Run, request: Request): void {
    if (digestOf(request) === digestOf(run.request)) return;
    run.reshape(request);
    this.#parts.admission.reshaped(run);
  }

  /** Ends a member's part in a run that others still want: what only it wanted is no longer done. */
  async leave(member: Member, state: "cancelled" | "failed", error: ErrorValue): Promise<void> {
    const { run } = member;
    const ended = this.#parts.end(member, state, error);
    this.withdrawn(run, member.row.caller.uid);
    await ended;
  }

  /** Somebody has left a run: it does less from now on, or stops, or never was. */
  withdrawn(run: Run, uid: number): void {
    const { board, admission, log } = this.#parts;
    const request = combineAll(board.members.of(run).map((member) => member.row.request));
    if (request !== null) {
      if (run.cancellable) this.reshape(run, request);
      admission.changed(run, uid);
      board.tellOf(run);
    } else if (!run.begun && !admission.isQueued(run)) {
      run.abandon();
      admission.ended(run);
    } else if (run.joinable) run.cancel().catch((err: unknown) => log.error({ run: run.id, err }, "cannot cancel a run that nobody wants"));
  }

  /** Takes a failed run apart: one run for each group, first in line. Rejects, with everything as it was, where that cannot be journalled. */
  async split(run: Run, groups: readonly (readonly Member[])[]): Promise<void> {
    const parts = groups.flatMap((members) => this.#partOf(run, members));
    const moved = parts.flatMap((part) => part.members.map((member) => ({ ...member.row, runId: part.run.id })));
    try {
      await this.#parts.journal.regroup([run.row, ...parts.map((part) => part.run.row)], moved);
    } catch (error) {
      for (const part of parts) part.run.abandon();
      throw error;
    }
    for (const part of parts) this.#begin(part, run);
  }

  #partOf(run: Run, members: readonly Member[]): Part[] {
    const [first] = members;
    const request = combineAll(members.map((member) => member.row.request));
    if (first === undefined || request === null) return [];
    const part = this.#parts.newRun(request, first.row.id, run.requestClass);
    part.splinter();
    part.messages.begin(run.messages.all);
    return [{ run: part, members, uid: first.row.caller.uid }];
  }

  #begin(part: Part, failed: Run): void {
    const { board, admission } = this.#parts;
    for (const member of part.members) if (!member.ending) board.members.move(member, part.run);
    part.run.messages.sayFirst(`together with other requests this failed: ${failed.row.error?.message ?? "unknown"}; it is tried again apart`);
    admission.add(part.run);
    admission.enqueue(part.run, { uid: part.uid, front: true });
    // Whoever left while this was written wants nothing of it any more.
    this.withdrawn(part.run, part.uid);
  }
}
