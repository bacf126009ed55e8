/** Why a run waits: for its turn, for locks, or for a program outside of the daemon. Said to people, and named to those who will not wait. */
import { titleOf } from "../model/request.ts";
import type { Admission } from "./admission.ts";
import type { Locks, Obstacle } from "./locks.ts";
import type { Run } from "./run.ts";

/** Place in line, from 1; 0 and an empty text for a run that does not wait. */
export interface Waiting {
  readonly position: number;
  readonly text: string;
  /** The runs it waits for. */
  readonly holders: readonly string[];
}

const NOT_WAITING: Waiting = { position: 0, text: "", holders: [] };

/** How a run is named to people: its request, and the transaction it was made for. */
export function nameOf(run: Run): string {
  return `${titleOf(run.request)} (${run.transactionId})`;
}

/** Looks where the run stands. Those that wait for locks come before those that wait for their turn. */
export function waitingOf(run: Run, { locks, admission }: { readonly locks: Locks; readonly admission: Admission }): Waiting {
  if (run.waitsOutside !== null) return { position: 1, text: run.waitsOutside, holders: [] };
  const turn = admission.explain(run);
  const line = locks.manager.queue();
  if (turn !== null) {
    const names = turn.after.map(nameOf);
    const ahead = turn.place - 1;
    const text = `waits for ${names.length === 0 ? "its turn" : names.join(" and ")}${ahead === 0 ? "" : `, ${ahead} more before it`}`;
    return { position: line.length + turn.place, text, holders: turn.after.map(({ id }) => id) };
  }
  const ticket = locks.manager.find(run.id);
  if (ticket === null || ticket.state !== "waiting") return NOT_WAITING;
  const obstacles = locks.manager.waitsFor(ticket);
  const holders = [...new Set(obstacles.flatMap(({ heldBy, behind }) => [...heldBy, ...behind]))];
  const name = (owner: string): string => {
    const other = admission.find(owner);
    return other === null ? owner : nameOf(other);
  };
  return { position: line.indexOf(ticket) + 1, text: explain(obstacles, name), holders };
}

/** "sysroot is held by install vim (3f2a…)". */
function explain(obstacles: readonly Obstacle[], nameOf: (owner: string) => string): string {
  return obstacles
    .map(({ resource, heldBy, behind }) => {
      const held = heldBy.length > 0 ? `${resource} is held by ${heldBy.map(nameOf).join(" and ")}` : `${resource} is awaited`;
      return behind.length === 0 ? held : `${held}, ${behind.map(nameOf).join(" and ")} first`;
    })
    .join("; ");
}
