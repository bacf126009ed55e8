/** What the states of a transaction are called. */
import type { RunState, StageTiming, TransactionView } from "../model/transaction.ts";
import { durationOf, ordinal, printable } from "./format.ts";

const LABELS: Readonly<Record<RunState, string>> = {
  queued: "Waiting",
  refreshing: "Refreshing package lists",
  planning: "Planning",
  downloading: "Downloading",
  assembling: "Assembling",
  deploying: "Deploying",
  pruning: "Pruning",
  cancelling: "Cancelling",
  rollingBack: "Rolling back",
  cleaning: "Cleaning up",
  finished: "Finished",
  failed: "Failed",
  cancelled: "Cancelled",
};

/** A state as a heading: "Downloading". A state that a newer daemon has is shown as it is. */
export function labelOf(state: RunState): string {
  return LABELS[state] ?? state;
}

/** Why a transaction waits, "waiting (2nd): sysroot is held by upgrade (7f3a…)"; empty where it does not wait. */
export function waitingOf(view: TransactionView): string {
  if (view.waitingFor === "" && view.state !== "queued") return "";
  const place = view.position > 0 ? ` (${ordinal(view.position)})` : "";
  const reason = printable(view.waitingFor).replace(/^waiting for /, "");
  return `waiting${place}${reason === "" ? "" : `: ${reason}`}`;
}

/** How long the stages took, on one line: "Took 12.3 s: planning 0.50 s, downloading cached, assembling 9.1 s (waited 2.0 s)". Empty where none ran. */
export function timingsText(timings: readonly StageTiming[]): string {
  if (timings.length === 0) return "";
  const totalMs = timings.reduce((sum, { waitedMs, tookMs }) => sum + waitedMs + tookMs, 0);
  const parts = timings.map(({ stage, waitedMs, tookMs, cached }) => {
    const took = cached ? "cached" : durationOf(tookMs);
    return `${stage} ${took}${waitedMs >= SHOWN_WAIT_MS ? ` (waited ${durationOf(waitedMs)})` : ""}`;
  });
  return `Took ${durationOf(totalMs)}: ${parts.join(", ")}`;
}

const SHOWN_WAIT_MS = 100;
