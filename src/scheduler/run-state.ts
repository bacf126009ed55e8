/** Where a run's actor is, in the words of its clients and of its journal; read from the machine's state value. */
import type { RunState, Stage } from "../model/transaction.ts";

/** The value of a state: a name, or the name of a stage with that of its step. */
export type StateValue = string | object;

/** The stage, waiting or working; null outside of any. */
export function stageIn(value: StateValue | undefined): Stage | null {
  return value === undefined || typeof value === "string" ? null : (stateName(value) as Stage);
}

/** The state as clients see it; one that has not begun is queued. */
export function stateIn(value: StateValue = "queued"): RunState {
  if (typeof value === "string") return value === "settling" ? "cleaning" : (value as RunState);
  const [stage, step] = Object.entries(value)[0] as [Stage, string];
  if (step === "cancelling") return "cancelling";
  return step === "waiting" ? "queued" : stage;
}

/** The name of the outermost state: what the journal keeps and a later version must understand. */
export function stateName(value: StateValue): string {
  return typeof value === "string" ? value : (Object.keys(value)[0] ?? "queued");
}
