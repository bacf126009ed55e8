/** The named resources, the modes in which they are held, and which of those stand beside each other. */
import { AptOstreeError } from "../model/errors.ts";

/** What can be locked, in the one total order in which needs are taken. */
export const RESOURCES = ["lists", "packages", "repo", "sysroot"] as const;
/** One of the lockable resources. */
export type Resource = (typeof RESOURCES)[number];

/**
 * `P` pin: what I read must not be pruned. `F` fetch: only adds. `U` update: the assembler, one at a time, may become D.
 * `D` deploy: writes deployments. `X` exclusive: prunes. Readers of the published snapshot hold nothing.
 */
export const LOCK_MODES = ["P", "F", "U", "D", "X"] as const;
/** One of the modes. */
export type LockMode = (typeof LOCK_MODES)[number];

/** One resource in one mode. */
export interface Need {
  readonly resource: Resource;
  readonly mode: LockMode;
}

const BESIDE: Readonly<Record<LockMode, readonly LockMode[]>> = {
  P: ["P", "F", "U", "D"],
  F: ["P", "F", "U", "D"],
  U: ["P", "F"],
  D: ["P", "F"],
  X: [],
};

/** Whether two owners may hold one resource in these modes at once; symmetric. */
export function compatible(a: LockMode, b: LockMode): boolean {
  return BESIDE[a].includes(b);
}

/**
 * Whether a request that waits for `waiting` keeps a later one from being granted `newcomer` on the same resource: where the
 * two exclude each other, so that nothing overtakes what it would delay. A pin passes a waiting X, as plans are short and
 * people wait for them, until that X has aged: an endless stream of pins must not keep the pruner out for ever.
 */
export function holdsBack(waiting: LockMode, newcomer: LockMode, aged: boolean): boolean {
  if (waiting === "X" && newcomer === "P" && !aged) return false;
  return !compatible(waiting, newcomer);
}

/** The needs of a request in the total order. Throws Internal where a resource is named twice. */
export function orderNeeds(needs: readonly Need[]): readonly Need[] {
  const ordered = needs.toSorted((a, b) => RESOURCES.indexOf(a.resource) - RESOURCES.indexOf(b.resource));
  for (const [index, need] of ordered.entries()) {
    if (ordered[index - 1]?.resource === need.resource)
      throw new AptOstreeError("Internal", `internal error: ${need.resource} is named twice in one lock request`);
  }
  return ordered;
}

/** What a newcomer cannot be granted, as those who hold and those who wait ahead of it are added: one bit for each mode of each resource. */
export class Barred {
  #bits = 0;

  /** Bars what these needs keep back: `firmly` where they are held or have aged, so that a pin passes no X. */
  add(needs: readonly Need[], firmly: boolean): void {
    for (const { resource, mode } of needs) this.#bits |= (firmly ? FIRM_BITS : LOOSE_BITS)[mode] << shiftOf(resource);
  }

  /** Whether none of these needs is kept back. */
  admits(needs: readonly Need[]): boolean {
    return needs.every(({ resource, mode }) => (this.#bits & (BIT_OF[mode] << shiftOf(resource))) === 0);
  }
}

const BIT_OF: Readonly<Record<LockMode, number>> = { P: 1, F: 2, U: 4, D: 8, X: 16 };
const LOOSE_BITS = bitsKeptBack(false);
const FIRM_BITS = bitsKeptBack(true);

/** For each mode the modes that it holds back. Who holds excludes just what one who has aged holds back. */
function bitsKeptBack(aged: boolean): Readonly<Record<LockMode, number>> {
  const bitsOf = (mode: LockMode): number => LOCK_MODES.reduce((bits, other) => bits | (holdsBack(mode, other, aged) ? BIT_OF[other] : 0), 0);
  return { P: bitsOf("P"), F: bitsOf("F"), U: bitsOf("U"), D: bitsOf("D"), X: bitsOf("X") };
}

function shiftOf(resource: Resource): number {
  return LOCK_MODES.length * RESOURCES.indexOf(resource);
}
