/** What the states of a transaction are called. */
import type { RunState, StageTiming, TransactionView } from "../model/transaction.ts";
import { durationOf, ordinal, printable, roughDurationOf } from "./format.ts";

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

/** How long it will still take, "about 40 s left" or, where that is far from sure, "about 40 s left, at most 2 min"; empty where nobody knows. */
export function etaOf(view: Pick<TransactionView, "eta">): string {
  if (view.eta === null) return "";
  const { p50Ms, p90Ms } = view.eta;
  const [about, atMost] = [roughDurationOf(p50Ms), roughDurationOf(p90Ms)];
  return p90Ms > p50Ms * SURE && atMost !== about ? `about ${about} left, at most ${atMost}` : `about ${about} left`;
}

/** The class of a request that nobody waits for, else empty. */
export function classOf(view: Pick<TransactionView, "requestClass">): string {
  return view.requestClass === "interactive" ? "" : view.requestClass;
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
/** An upper bound below this many times the middle is not worth telling. */
const SURE = 1.5;
