/**
 * Holds the history of a lock manager against the rules of the locks. They are written down a second time here, as sets of
 * bits, so that the check shares no mistake with the manager.
 */
import type { LockEvent } from "./lock-history.ts";
import { LOCK_MODES, type LockMode, type Need, RESOURCES, type Resource } from "./lock-table.ts";
import { DEFAULT_AGE_MS } from "./locks.ts";

/** What must hold of every history. */
export const LOCK_RULES = {
  gapless: "events follow each other without gaps",
  oneTicket: "an owner has one ticket at a time",
  asked: "what is granted, cancelled or changed was asked for, just so, and is waiting or held",
  exclusive: "no two owners hold a resource in modes that exclude each other",
  upgrade: "only U that is held becomes D",
  releasedOnce: "what is released is held, and is released once",
  order: "nothing is granted ahead of what waits before it and excludes it",
  awake: "nothing waits that could be granted",
} as const;

/** A place where a history breaks a rule. */
export interface Violation {
  /** Of the event that breaks it. */
  readonly seq: number;
  /** The owner of the event first, then whom it wrongs. */
  readonly owners: readonly string[];
  readonly rule: keyof typeof LOCK_RULES;
}

/** A ticket as sets of bits, one bit for each mode of each resource. */
interface Known {
  readonly needs: readonly Need[];
  readonly takes: number;
  readonly excludes: number;
  /** The X of resources that it pins: a waiting X lets it pass until it has aged. */
  readonly passes: number;
  readonly interactive: boolean;
  readonly sinceMs: number;
  /** The `seq` of its request. */
  readonly arrival: number;
}

const EXCLUDED_BY: Readonly<Record<LockMode, readonly LockMode[]>> = { P: ["X"], F: ["X"], U: ["U", "D", "X"], D: ["U", "D", "X"], X: LOCK_MODES };

/**
 * Every violation in a history, oldest first; empty for a manager that works. The history may lack its beginning: then nothing is
 * held against owners that may come from before, until it is certain that there are none of those. `ageMs` is the manager's.
 */
export function checkHistory(events: readonly LockEvent[], ageMs = DEFAULT_AGE_MS): readonly Violation[] {
  const check = new Check(events[0]?.seq === 1, ageMs);
  for (const [index, event] of events.entries()) check.replay(event, events[index - 1], events[index + 1]);
  return check.violations;
}

class Check {
  readonly violations: Violation[] = [];
  readonly #ageMs: number;
  /** By owner, in the order of arrival. */
  readonly #waiting = new Map<string, Known>();
  readonly #holding = new Map<string, Known>();
  /** Owners of whom it has been known what they hold or await. */
  readonly #seen = new Set<string>();
  /** Whether nobody holds or waits of whom this does not know. */
  #complete: boolean;

  constructor(complete: boolean, ageMs: number) {
    this.#complete = complete;
    this.#ageMs = ageMs;
  }

  replay(event: LockEvent, before: LockEvent | undefined, after: LockEvent | undefined): void {
    if (before !== undefined && event.seq !== before.seq + 1) this.#blame(event, "gapless");
    const waits = this.#waiting.get(event.owner);
    const holds = this.#holding.get(event.owner);
    this.#judge(event, waits, holds);
    this.#apply(event, knownOf(event, waits), waits !== undefined);
    this.#complete ||= this.#waiting.size + this.#holding.size === event.outstanding;
    // A call's own change and the grants that follow from it have one time: only after the last of them must nothing be left.
    if (this.#complete && (after?.what !== "grant" || after.atMs !== event.atMs)) this.#findSleepers(event);
  }

  #judge(event: LockEvent, waits: Known | undefined, holds: Known | undefined): void {
    const known = waits ?? holds;
    if (event.what === "request") {
      if (known !== undefined) this.#blame(event, "oneTicket");
      return;
    }
    if (!this.#complete && !this.#seen.has(event.owner)) return;
    if (event.what === "release") {
      if (holds === undefined || !same(holds.needs, event.needs)) this.#blame(event, "releasedOnce");
    } else if (event.what === "upgrade") {
      if (holds === undefined || !isUpgrade(holds.needs, event.needs)) this.#blame(event, "upgrade");
    } else if (event.what === "prioritise") {
      if (known === undefined || !same(known.needs, event.needs)) this.#blame(event, "asked");
    } else if (waits === undefined || !same(waits.needs, event.needs)) this.#blame(event, "asked");
  }

  #apply(event: LockEvent, known: Known, waiting: boolean): void {
    const { what, owner } = event;
    if (what === "prioritise") {
      if (waiting) this.#waiting.set(owner, known);
      return;
    }
    this.#seen.add(owner);
    if (what === "request") {
      this.#waiting.set(owner, known);
      return;
    }
    if (what === "release") this.#holding.delete(owner);
    else this.#waiting.delete(owner);
    if (what !== "grant" && what !== "upgrade") return;
    this.#holding.delete(owner);
    for (const [other, { takes }] of this.#holding) if ((takes & known.excludes) !== 0) this.#blame(event, "exclusive", other);
    if (waiting) this.#findOvertaken(event, known);
    this.#holding.set(owner, known);
  }

  #findOvertaken(event: LockEvent, granted: Known): void {
    const urgent = this.#urgent(granted, event.atMs);
    for (const [other, waiting] of this.#waiting) {
      const urgentOther = this.#urgent(waiting, event.atMs);
      const ahead = urgentOther === urgent ? waiting.arrival < granted.arrival : urgentOther;
      if (ahead && (waiting.takes & this.#heldBackBy(granted, this.#aged(waiting, event.atMs))) !== 0) this.#blame(event, "order", other);
    }
  }

  #findSleepers(event: LockEvent): void {
    let held = 0;
    for (const { takes } of this.#holding.values()) held |= takes;
    const ahead = { aged: 0, young: 0 };
    for (const urgent of [true, false]) {
      for (const [owner, waiting] of this.#waiting) {
        if (this.#urgent(waiting, event.atMs) !== urgent) continue;
        const obstacles = ((held | ahead.aged) & waiting.excludes) | (ahead.young & this.#heldBackBy(waiting, false));
        if (obstacles === 0) this.#blame(event, "awake", owner);
        ahead[this.#aged(waiting, event.atMs) ? "aged" : "young"] |= waiting.takes;
      }
    }
  }

  #heldBackBy({ excludes, passes }: Known, aged: boolean): number {
    return aged ? excludes : excludes & ~passes;
  }

  #aged({ sinceMs }: Known, atMs: number): boolean {
    return atMs - sinceMs >= this.#ageMs;
  }

  #urgent(known: Known, atMs: number): boolean {
    return known.interactive || this.#aged(known, atMs);
  }

  #blame({ seq, owner }: LockEvent, rule: Violation["rule"], ...others: string[]): void {
    this.violations.push({ seq, owners: [owner, ...others], rule });
  }
}

function knownOf({ needs, priority, atMs, seq }: LockEvent, before: Known | undefined): Known {
  const interactive = priority === "interactive";
  if (before !== undefined && before.needs === needs) return { ...before, interactive };
  return {
    needs,
    takes: bitsOf(needs),
    excludes: needs.reduce((bits, { resource, mode }) => bits | bitsOn(resource, EXCLUDED_BY[mode]), 0),
    passes: needs.reduce((bits, { resource, mode }) => bits | (mode === "P" ? bitsOn(resource, ["X"]) : 0), 0),
    interactive,
    sinceMs: before?.sinceMs ?? atMs,
    arrival: before?.arrival ?? seq,
  };
}

function bitsOf(needs: readonly Need[]): number {
  return needs.reduce((bits, { resource, mode }) => bits | bitsOn(resource, [mode]), 0);
}

function bitsOn(resource: Resource, modes: readonly LockMode[]): number {
  const shift = RESOURCES.indexOf(resource) * LOCK_MODES.length;
  return modes.reduce((bits, mode) => bits | (1 << (shift + LOCK_MODES.indexOf(mode))), 0);
}

function same(a: readonly Need[], b: readonly Need[]): boolean {
  return a === b || (a.length === b.length && bitsOf(a) === bitsOf(b));
}

function isUpgrade(before: readonly Need[], after: readonly Need[]): boolean {
  const changed = before.filter(({ resource, mode }) => !after.some((need) => need.resource === resource && need.mode === mode));
  const upgraded = before.map((need) => (changed.includes(need) ? { ...need, mode: "D" as const } : need));
  return changed.length === 1 && changed[0]?.mode === "U" && same(upgraded, after);
}
