/** How long a run will still take, learned from how long the stages of earlier runs took. Pure: no clock, no chance. */
import type { Estimate, Kind, Stage } from "../model/transaction.ts";
import { WEIGHT_OF } from "./needs.ts";
import { type RunSize, type StageModel, stageModelOf, type TimedSize } from "./stage-model.ts";

/** How long a stage of one run took. */
export interface StageSample extends TimedSize {
  readonly kind: Kind;
  readonly stage: Stage;
  /** Answered from a cache: nothing had to be done. */
  readonly cached: boolean;
}

/** What a run will do. */
export interface RunPlan {
  readonly stages: readonly Stage[];
  readonly sizes: RunSize;
  /** Stages that will most likely be answered from a cache; none unless told. */
  readonly cachedLikely?: readonly Stage[];
}

/** How far it is. */
export interface StagePosition {
  readonly stage: Stage;
  /** Of the stage, 0 to 1; 0 also where a stage does not tell. */
  readonly fraction: number;
  /** Since the stage began to work, without waiting for locks. */
  readonly stageElapsedMs: number;
}

/** The newest samples of a stage that are kept: enough for a percentile, and old ones tell of another machine load. */
const KEPT_SAMPLES = 64;
/** Fewer say nothing about a stage. */
const NEEDED_SAMPLES = 3;
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
  samples: TimedSize[];
  /** Made when it is first asked for. */
  model: StageModel | null;
}

/** What earlier runs have taught. */
export class Estimates {
  readonly #histories = new Map<string, History>();

  /** Takes in a stage that has ended well. */
  learn({ stage, cached, tookMs, archiveBytes, packageCount }: StageSample): void {
    const key = keyOf(stage, cached);
    const samples = [...(this.#histories.get(key)?.samples ?? []), { tookMs, archiveBytes, packageCount }].slice(-KEPT_SAMPLES);
    this.#histories.set(key, { samples, model: null });
  }

  /**
   * The time until the run ends, waiting for locks not included; null where neither history nor the run's own speed tells, or
   * the stage is none of the plan's.
   */
  remaining(plan: RunPlan, position: StagePosition): Estimate | null {
    const index = plan.stages.indexOf(position.stage);
    if (index < 0) return null;
    const usual = this.#usual(plan, position.stage);
    const present = presentOf(usual, position);
    if (present === null) return null;
    const coming: Estimate[] = [];
    for (const stage of plan.stages.slice(index + 1)) {
      const known = this.#usual(plan, stage);
      // What a cache answers tells nothing about the time that work takes.
      if (known === null && plan.cachedLikely?.includes(position.stage)) return null;
      const wholeMs = usual?.p50Ms ?? position.stageElapsedMs + present.p50Ms;
      const likelyMs = (wholeMs * WEIGHT_OF[stage]) / WEIGHT_OF[position.stage];
      coming.push(known ?? { p50Ms: likelyMs, p90Ms: likelyMs * UNKNOWN_SPREAD });
    }
    return sumOf([present, ...coming]);
  }

  /** The whole time of a stage by its history; null where there is too little of it. */
  #usual({ sizes, cachedLikely = [] }: RunPlan, stage: Stage): Estimate | null {
    const cached = cachedLikely.includes(stage);
    const history = this.#histories.get(keyOf(stage, cached));
    if (history === undefined || history.samples.length < NEEDED_SAMPLES) return cached ? { p50Ms: 0, p90Ms: 0 } : null;
    // Whatever the size, an answer from a cache takes the same time.
    history.model ??= cached ? stageModelOf("refreshing", history.samples) : stageModelOf(stage, history.samples);
    return history.model(sizes);
  }
}

function keyOf(stage: Stage, cached: boolean): string {
  return cached ? `${stage} cached` : stage;
}

/** What is left of a stage that runs: its usual time, the more corrected by its present speed the more of it is done. */
function presentOf(usual: Estimate | null, { fraction, stageElapsedMs }: StagePosition): Estimate | null {
  const done = Math.min(Math.max(fraction, 0), 1);
  const elapsedMs = Math.max(stageElapsedMs, 0);
  if (usual === null && done < TELLING_FRACTION) return null;
  if (usual === null) {
    const p50Ms = (elapsedMs * (1 - done)) / done;
    return { p50Ms, p90Ms: p50Ms * UNKNOWN_SPREAD ** (1 - done) };
  }
  if (done < LEAST_FRACTION) {
    const left = (wholeMs: number): number => Math.max(wholeMs - elapsedMs, OVERDUE_SHARE * wholeMs);
    return { p50Ms: left(usual.p50Ms), p90Ms: left(usual.p90Ms) };
  }
  const left = (wholeMs: number): number => (1 - done) * wholeMs ** (1 - done) * (elapsedMs / done) ** done;
  return { p50Ms: left(usual.p50Ms), p90Ms: left(usual.p90Ms) };
}

function sumOf(parts: readonly Estimate[]): Estimate {
  const p50Ms = parts.reduce((sum, part) => sum + part.p50Ms, 0);
  const margins = parts.map((part) => part.p90Ms - part.p50Ms);
  const together = margins.reduce((sum, margin) => sum + margin, 0);
  const squares = margins.reduce((sum, margin) => sum + margin ** 2, 0);
  return { p50Ms, p90Ms: p50Ms + Math.sqrt(CORRELATION * together ** 2 + (1 - CORRELATION) * squares) };
}
