/** How long a run will still take, learned from how long the stages of earlier runs took. Pure: no clock, no chance. */
import type { Estimate, Stage } from "../model/transaction.ts";
import { LEAST_SAMPLES, type RunSize, type StageModel, type StageTime, stageModelOf } from "./stage-model.ts";

/** How long a stage of one run took, waiting for locks not included. */
export interface StageSample extends StageTime {
  readonly stage: Stage;
  /** Answered from a cache: nothing had to be done. */
  readonly cached: boolean;
}

/** How far a run is. */
export interface StagePosition {
  readonly stage: Stage;
  /** Of the stage, 0 to 1; 0 also where a stage does not tell. */
  readonly fraction: number;
  /** Since the stage began to work, without waiting for locks. */
  readonly elapsedMs: number;
}

/** The newest samples of a stage that are kept: enough for a percentile, and old ones tell of another machine load. */
const KEPT_SAMPLES = 64;
/** Less than this share of a stage is no report of progress: a speed that it told would be chance. */
const LEAST_FRACTION = 0.001;
/** From here on a run's own speed is believed where there is no history. */
const TELLING_FRACTION = 0.1;
/** How much longer than expected it may take where there is no history to tell. */
const UNKNOWN_SPREAD = 2;
/** An overdue stage of unknown progress is expected to need this share of its usual time yet. */
const OVERDUE_SHARE = 0.1;
/** Stages of one run share a machine and so are slow together, but not always: the assumed correlation of their times. */
const CORRELATION = 0.5;

interface History {
  readonly samples: StageTime[];
  /** Made when it is first asked for. */
  model: StageModel | null;
}

/** What earlier runs have taught. */
export class Estimates {
  readonly #histories = new Map<Stage, History>();

  /** Takes in a stage that has ended well. One that a cache answered tells nothing about the time that work takes, and is passed over. */
  learn({ stage, tookMs, cached, size }: StageSample): void {
    if (cached) return;
    const samples = [...(this.#histories.get(stage)?.samples ?? []), { tookMs, size }].slice(-KEPT_SAMPLES);
    this.#histories.set(stage, { samples, model: null });
  }

  /**
   * The time until a run of these stages ends, waiting for locks not included; `at` null where it has not begun. Null where the
   * history of a stage that is left does not suffice, or `at` is in none of the stages.
   */
  remaining(stages: readonly Stage[], size: RunSize | null, at: StagePosition | null): Estimate | null {
    const index = at === null ? -1 : stages.indexOf(at.stage);
    if (at !== null && index < 0) return null;
    const coming = stages.slice(index + 1).map((stage) => this.#usual(stage, size));
    const left = at === null ? coming : [presentOf(this.#usual(at.stage, size), at), ...coming];
    const known = left.filter((estimate) => estimate !== null);
    return known.length === left.length ? sumOf(known) : null;
  }

  /** The whole time of a stage by its history; null where there is too little of it. */
  #usual(stage: Stage, size: RunSize | null): Estimate | null {
    const history = this.#histories.get(stage);
    if (history === undefined || history.samples.length < LEAST_SAMPLES) return null;
    history.model ??= stageModelOf(stage, history.samples);
    return history.model(size);
  }
}

/** What is left of a stage that runs: its usual time, the more corrected by its present speed the more of it is done. */
function presentOf(usual: Estimate | null, { fraction, elapsedMs }: StagePosition): Estimate | null {
  if (usual === null) {
    if (fraction < TELLING_FRACTION) return null;
    const p50Ms = (elapsedMs * (1 - fraction)) / fraction;
    return { p50Ms, p90Ms: p50Ms * UNKNOWN_SPREAD ** (1 - fraction) };
  }
  const left = (usualMs: number): number => {
    if (fraction < LEAST_FRACTION) return Math.max(usualMs - elapsedMs, OVERDUE_SHARE * usualMs);
    // By its present speed the whole takes elapsedMs / fraction; that counts for `fraction`, which cancels out.
    return (1 - fraction) * ((1 - fraction) * usualMs + elapsedMs);
  };
  return { p50Ms: left(usual.p50Ms), p90Ms: left(usual.p90Ms) };
}

function sumOf(parts: readonly Estimate[]): Estimate {
  const p50Ms = parts.reduce((sum, part) => sum + part.p50Ms, 0);
  const margins = parts.map((part) => part.p90Ms - part.p50Ms);
  const together = margins.reduce((sum, margin) => sum + margin, 0);
  const squares = margins.reduce((sum, margin) => sum + margin ** 2, 0);
  return { p50Ms, p90Ms: p50Ms + Math.sqrt(CORRELATION * together ** 2 + (1 - CORRELATION) * squares) };
}
