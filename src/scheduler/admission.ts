/**
 * Whose turn it is: the queues in front of the locks. A run begins when its pool has a free slot, when it is the first in line, and when
 * every run that it conflicts with has ended. What has begun contends for locks; so only a few ever do, however many wait.
 */
import { REQUEST_CLASSES, type Request, type RequestClass, type Stage, stagesOf } from "../model/transaction.ts";
import { Acquaintance } from "./acquaintance.ts";
import type { Clock } from "./clock.ts";
import { Line } from "./line.ts";
import { combine, type Meeting, meet } from "./meetings.ts";
import { excludes } from "./needs.ts";
import { FairQueue } from "./queue.ts";
import type { Run } from "./run.ts";

/** Runs of a pool that have begun and not ended. Two writers: while the one assembles, the other plans and downloads. */
const SLOTS = { writers: 2, fetchers: 3, pruners: 1 } as const;
type Pool = keyof typeof SLOTS;

/** Where a newcomer belongs: to a run that is there, as `request` says from now on, or to one of its own, after others. */
export type Place =
  | { readonly meeting: Exclude<Meeting, "queue" | "conflict">; readonly run: Run; readonly request: Request }
  | { readonly meeting: "new"; readonly after: readonly Run[] };

interface Entry {
  readonly run: Run;
  pool: Pool;
  /** Ids of the runs that must end first. */
  readonly after: Set<string>;
  /** Those that wait for this one. */
  readonly before: Set<Entry>;
  queued: boolean;
}

/** Every run that has not ended, in its pool. */
export class Admission {
  readonly #queues: Readonly<Record<Pool, FairQueue<Entry>>>;
  readonly #lines: Readonly<Record<Pool, Line<Entry>>>;
  readonly #clock: Clock;
  readonly #onBegin: (run: Run) => void;
  /** In the order of arrival. */
  readonly #entries = new Map<string, Entry>();
  readonly #acquaintance = new Acquaintance<Entry>();
  readonly #active: Readonly<Record<Pool, Set<Entry>>> = { writers: new Set(), fetchers: new Set(), pruners: new Set() };

  /** `onBegin` is called for a run that has its turn, and begins it. */
  constructor(clock: Clock, onBegin: (run: Run) => void) {
    this.#clock = clock;
    this.#onBegin = onBegin;
    const queue = (): FairQueue<Entry> => new FairQueue({ now: () => clock.monotonicMs() });
    this.#queues = { writers: queue(), fetchers: queue(), pruners: queue() };
    const { writers, fetchers, pruners } = this.#queues;
    this.#lines = { writers: new Line(writers, clock), fetchers: new Line(fetchers, clock), pruners: new Line(pruners, clock) };
  }

  /** Where a request belongs that comes now. It never passes a run that it conflicts with. */
  placeFor(request: Request): Place {
    const entries = this.#acquaintance.of(request);
    const meetings = entries.map((entry) => meet(entry.run.request, request));
    const lastConflict = meetings.lastIndexOf("conflict");
    for (const [index, meeting] of meetings.entries()) {
      if (index < lastConflict || meeting === "queue" || meeting === "conflict") continue;
      const { run } = entries[index] as Entry;
      const combined = combine(run.request, request);
      const free = meeting === "join" || meeting === "absorb" || lastConflict < 0;
      if (combined !== null && free && this.#takes(run, meeting, request)) return { meeting, run, request: combined };
    }
    return { meeting: "new", after: entries.filter((_, index) => meetings[index] === "conflict").map(({ run }) => run) };
  }

  /** Knows a run from now on, so that others meet it. It is not in line yet. */
  add(run: Run, after: readonly Run[] = []): void {
    const others = after.flatMap((other) => this.#entries.get(other.id) ?? []);
    const ids = others.map((other) => other.run.id);
    const entry: Entry = { run, pool: poolOf(run.request), after: new Set(ids), before: new Set(), queued: false };
    for (const other of others) other.before.add(entry);
    this.#entries.set(run.id, entry);
    this.#acquaintance.put(entry, run.request);
  }

  /** A run has another request than before: others meet it as that from now on. */
  reshaped(run: Run): void {
    const entry = this.#entries.get(run.id);
    if (entry !== undefined) this.#acquaintance.put(entry, run.request);
  }

  /** Puts a run in line, once; one that comes back goes to the front of its user's. */
  enqueue(run: Run, { uid, front = false }: { uid: number; front?: boolean }): void {
    const entry = this.#entries.get(run.id);
    if (entry === undefined || entry.queued || run.begun) return;
    entry.queued = true;
    const { id, requestClass } = run;
    this.#queues[entry.pool].add({ id, uid, requestClass, arrivedMs: this.#clock.monotonicMs(), value: entry }, { front });
    if (entry.after.size > 0) this.#queues[entry.pool].block(id);
    this.#pump();
  }

  /** Lets a run begin out of turn: one that was at work when the last daemon died. */
  resume(run: Run): void {
    const entry = this.#entries.get(run.id);
    if (entry === undefined) return;
    this.#active[entry.pool].add(entry);
    this.#onBegin(run);
  }

  /** A run has another request or class than before; what it conflicts with must be served first, and as urgently. */
  changed(run: Run, uid: number): void {
    const entry = this.#entries.get(run.id);
    if (entry === undefined) return;
    const pool = poolOf(run.request);
    if (pool !== entry.pool) this.#move(entry, pool, uid);
    else this.#queues[pool].promote(run.id, run.requestClass);
    for (const id of entry.after) {
      const other = this.#entries.get(id);
      if (other !== undefined && raise(other.run, run.requestClass)) this.changed(other.run, uid);
    }
    this.#pump();
  }

  /** A run has nothing more to do, though its end is not durable yet: whoever does not depend on that may have its slot. */
  ending(run: Run): void {
    const entry = this.#entries.get(run.id);
    if (entry !== undefined && this.#active[entry.pool].delete(entry)) this.#pump();
  }

  /** A run has ended: those that waited for it may go on. */
  ended(run: Run): void {
    const entry = this.#entries.get(run.id);
    if (entry === undefined) return;
    this.#entries.delete(run.id);
    this.#acquaintance.delete(entry);
    this.#queues[entry.pool].remove(run.id);
    this.#active[entry.pool].delete(entry);
    for (const id of entry.after) this.#entries.get(id)?.before.delete(entry);
    for (const other of entry.before) {
      if (other.after.delete(run.id) && other.after.size === 0 && other.queued) this.#queues[other.pool].unblock(other.run.id);
    }
    this.#pump();
  }

  /** Runs in line, first in line first, pool by pool. */
  waiting(): Run[] {
    return Object.values(this.#queues).flatMap((queue) => queue.order().map(({ value }) => value.run));
  }

  /** A run that has not ended, by its id. */
  find(id: string): Run | null {
    return this.#entries.get(id)?.run ?? null;
  }

  /** Whether a run was put in line, or is beyond that. */
  isQueued(run: Run): boolean {
    return this.#entries.get(run.id)?.queued === true;
  }

  /** How many runs are in line. */
  get length(): number {
    return Object.values(this.#queues).reduce((sum, queue) => sum + queue.size, 0);
  }

  /** Whom a run in line waits for: those it conflicts with, else those that have its pool's slots; and its place, from 1. Null for any other. */
  explain(run: Run): { readonly place: number; readonly after: readonly Run[] } | null {
    const entry = this.#entries.get(run.id);
    if (entry === undefined || run.begun || !entry.queued) return null;
    const after = [...entry.after].flatMap((id) => this.#entries.get(id)?.run ?? []);
    const holders = after.length > 0 ? after : [...this.#active[entry.pool]].map((active) => active.run);
    return { place: this.#lines[entry.pool].placeOf(run.id), after: holders };
  }

  /** The runs that a request in this place would have to wait for. */
  holdersFor(place: Place, request: Request): Run[] {
    if (place.meeting !== "new") return place.run.begun ? [] : [...(this.explain(place.run)?.after ?? [])];
    if (place.after.length > 0) return [...place.after];
    return [...this.#entries.values()].map(({ run }) => run).filter((run) => excludes(run.request, request));
  }

  /** Whether a run has not gone too far to take a newcomer. */
  #takes(run: Run, meeting: Meeting, newcomer: Request): boolean {
    if (!run.joinable || run.row.facts.splinter === true) return run.joinable && meeting === "join";
    if (!run.begun || meeting === "join" || meeting === "promote") return true;
    if (meeting === "absorb") return !hasPassed(run, stagesOf(newcomer).at(-1));
    return run.request.kind !== "cleanup" && !run.assembles && run.stage !== "deploying" && this.#isAssembling();
  }

  /** While somebody else assembles, who comes behind cannot go on, and loses nothing by planning again. */
  #isAssembling(): boolean {
    return [...this.#active.writers].some(({ run }) => run.assembles);
  }

  #move(entry: Entry, pool: Pool, uid: number): void {
    const wasActive = this.#active[entry.pool].delete(entry);
    const wasQueued = this.#queues[entry.pool].remove(entry.run.id);
    entry.pool = pool;
    if (wasActive) this.#active[pool].add(entry);
    if (wasQueued) {
      entry.queued = false;
      this.enqueue(entry.run, { uid, front: true });
    }
  }

  #pump(): void {
    for (const pool of Object.keys(SLOTS) as Pool[]) {
      while (this.#active[pool].size < SLOTS[pool]) {
        const entry = this.#queues[pool].next()?.value;
        if (entry === undefined) break;
        if (entry.run.begun) continue;
        this.#active[pool].add(entry);
        this.#onBegin(entry.run);
      }
    }
  }
}

/** Makes a run at least as urgent as a class; whether that changed it. */
export function raise(run: Run, requestClass: RequestClass): boolean {
  if (REQUEST_CLASSES.indexOf(requestClass) >= REQUEST_CLASSES.indexOf(run.requestClass)) return false;
  run.requestClass = requestClass;
  return true;
}

function poolOf(request: Request): Pool {
  if (stagesOf(request).includes("deploying")) return "writers";
  return stagesOf(request).includes("pruning") ? "pruners" : "fetchers";
}

/** Whether the run is beyond a stage that a newcomer wants of it. */
function hasPassed(run: Run, stage: Stage | undefined): boolean {
  const stages: readonly (Stage | undefined)[] = stagesOf(run.request);
  return stages.indexOf(run.stage ?? undefined) > stages.indexOf(stage);
}
