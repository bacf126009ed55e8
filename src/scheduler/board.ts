/**
 * What everybody can see: the members with their runs, each as a view, and the telling of what changed. The scheduler changes it, the doors
 * hear of it.
 */
import { type Estimate, type Request, stagesOf, type TransactionView } from "../model/transaction.ts";
import type { Admission } from "./admission.ts";
import type { Clock } from "./clock.ts";
import type { Locks } from "./locks.ts";
import { type Member, Members } from "./members.ts";
import { inSequence, type Outlook } from "./outlook.ts";
import { percentOf } from "./progress.ts";
import type { Run } from "./run.ts";
import type { SnapshotHolder } from "./snapshot.ts";
import { Throttle } from "./throttle.ts";
import { activeView } from "./views.ts";
import { type Waiting, waitingOf } from "./waiting.ts";

/** However many watch, progress is told no more often. */
const PROGRESS_INTERVAL_MS = 100;
/** Places in line change with every request; they are told no more often. */
const PLACES_INTERVAL_MS = 1000;

/** Of those that share a run so many are named. */
const MAX_JOINED = 100;

const NO_TIME: Estimate | null = { p50Ms: 0, p90Ms: 0 };

/** What the board looks at. */
export interface BoardParts {
  readonly clock: Clock;
  readonly locks: Locks;
  readonly admission: Admission;
  readonly snapshots: SnapshotHolder;
  readonly outlook: Outlook;
  readonly added: (view: TransactionView) => void;
  readonly changed: (view: TransactionView) => void;
  readonly progressed: (view: TransactionView) => void;
}

/** The members, seen from outside. */
export class Board {
  readonly members = new Members();
  readonly #parts: BoardParts;
  readonly #progress: Throttle;
  readonly #joins: Throttle;
  readonly #places: Throttle;

  constructor(parts: BoardParts) {
    this.#parts = parts;
    this.#progress = new Throttle(parts.clock, PROGRESS_INTERVAL_MS, (id) => this.#tell(id, parts.progressed));
    this.#joins = new Throttle(parts.clock, PROGRESS_INTERVAL_MS, (runId) => {
      const run = parts.admission.find(runId);
      if (run !== null) this.tellOf(run);
    });
    this.#places = new Throttle(parts.clock, PLACES_INTERVAL_MS, () => this.#tellPlaces());
  }

  /** Those whose rows are durable, oldest first. */
  views(): TransactionView[] {
    return [...this.members.all()].filter((member) => member.announced).map((member) => this.view(member));
  }

  view(member: Member): TransactionView {
    const { run, row } = member;
    const at = run.stageProgress;
    if (at !== null) member.percent = Math.max(member.percent, percentOf(row.request, at));
    const waiting = this.waitingOf(run);
    return activeView(row, run, {
      percent: member.percent,
      joinedWith: this.members.othersOf(member, MAX_JOINED),
      waiting,
      eta: this.#etaOf(run, row.request, waiting),
      epoch: this.#parts.snapshots.current.epoch,
    });
  }

  /** Why a run waits, and for whom. */
  waitingOf(run: Run): Waiting {
    return waitingOf(run, this.#parts);
  }

  announce(member: Member): void {
    if (member.announced) return;
    member.announced = true;
    this.#parts.added(this.view(member));
  }

  /** All who want a run are told that it changed. */
  tellOf(run: Run): void {
    for (const member of this.members.of(run)) this.#tell(member.row.id, this.#parts.changed);
  }

  /** The same when somebody has joined it, now or a moment later: a thousand may. */
  joined(run: Run): void {
    this.#joins.touch(run.id);
  }

  /** A run has ended: nothing more is told of it. */
  forget(run: Run): void {
    this.#joins.flush(run.id);
  }

  /** The same for its progress, now or a moment later. */
  progressOf(run: Run): void {
    for (const member of this.members.of(run)) this.#progress.touch(member.row.id);
  }

  /** The last progress of a transaction that ends is told first. */
  flush(id: string): void {
    this.#progress.flush(id);
  }

  /** Who waits behind whom has changed. */
  placesChanged(): void {
    this.#places.touch("places");
  }

  /** Tells nothing more. */
  close(): void {
    this.#progress.close();
    this.#joins.close();
    this.#places.close();
  }

  /** A run that waits begins when the last of those before it has ended. */
  #etaOf(run: Run, wanted: Request, { holders }: Waiting): Estimate | null {
    const { outlook, admission } = this.#parts;
    const before = holders.flatMap((id) => {
      const holder = admission.find(id);
      return holder === null ? [] : [outlook.of(holder, holder.request)];
    });
    const longest = before.reduce((most, next) => (most === null || next === null ? null : next.p50Ms > most.p50Ms ? next : most), NO_TIME);
    return inSequence([longest, outlook.of(run, wanted)]);
  }

  #tell(id: string, to: (view: TransactionView) => void): void {
    const member = this.members.get(id);
    if (member?.announced === true) to(this.view(member));
  }

  #tellPlaces(): void {
    for (const run of this.#parts.admission.waiting()) this.tellOf(run);
  }
}

/** Whether a member has all it wants once a stage of its run is done, though the run goes on. */
export function isServed(member: Member, stage: string): boolean {
  const wanted = stagesOf(member.row.request);
  return wanted.at(-1) === stage && stagesOf(member.run.request).at(-1) !== stage;
}
