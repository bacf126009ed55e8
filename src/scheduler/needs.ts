/** Which locks each stage takes, and how much of a run each stage is. */
import { type Request, type Stage, stagesOf } from "../model/transaction.ts";
import { compatible, type Need } from "./lock-table.ts";

/**
 * Locks by stage (`design.md`: P pin, F fetch, U assemble, D deploy, X prune). A run keeps the U of assembling and turns it
 * into D for deploying, so that nobody deploys in between.
 */
export const NEEDS_OF: Readonly<Record<Stage, readonly Need[]>> = {
  refreshing: [
    { resource: "lists", mode: "F" },
    { resource: "repo", mode: "F" },
  ],
  planning: [
    { resource: "lists", mode: "P" },
    { resource: "repo", mode: "P" },
  ],
  downloading: [
    { resource: "lists", mode: "F" },
    { resource: "packages", mode: "F" },
    { resource: "repo", mode: "P" },
  ],
  assembling: [
    { resource: "lists", mode: "P" },
    { resource: "packages", mode: "P" },
    { resource: "repo", mode: "F" },
    { resource: "sysroot", mode: "U" },
  ],
  deploying: [
    { resource: "repo", mode: "P" },
    { resource: "sysroot", mode: "D" },
  ],
  pruning: [
    { resource: "lists", mode: "X" },
    { resource: "packages", mode: "X" },
    { resource: "repo", mode: "X" },
    { resource: "sysroot", mode: "X" },
  ],
};

/** Shares of the time a run takes, as measured for some 40 packages; they only shape the percentage. */
export const WEIGHT_OF: Readonly<Record<Stage, number>> = {
  refreshing: 10,
  planning: 6,
  downloading: 20,
  assembling: 54,
  deploying: 10,
  pruning: 100,
};

/** Whether runs of two requests exclude each other at some point: a stage of the one needs what a stage of the other holds. */
export function excludes(a: Request, b: Request): boolean {
  const needsOf = (request: Request): Need[] => stagesOf(request).flatMap((stage) => NEEDS_OF[stage]);
  return needsOf(a).some((one) => needsOf(b).some((other) => one.resource === other.resource && !compatible(one.mode, other.mode)));
}
