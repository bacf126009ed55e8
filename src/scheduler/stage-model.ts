/**
 * How long a stage takes, as a function of the size of the run, learned from samples of that stage. The function is linear with
 * coefficients that are never negative; what it leaves unexplained, the ratios of the samples to it, gives the percentiles.
 */
import type { Estimate, Stage } from "../model/transaction.ts";

/** How much work there is. */
export interface RunSize {
  /** Of all packages to be installed, whether they must be downloaded or not. */
  readonly archiveBytes: number;
  readonly packageCount: number;
}

/** How long a stage took once. */
export interface StageTime {
  readonly tookMs: number;
  /** Of its run; null where that was not known. */
  readonly size: RunSize | null;
}

interface Sized extends StageTime {
  readonly size: RunSize;
}

/** On what the time of a stage depends beside a constant; stages that are missing depend on nothing else. */
const SIZES_OF: Readonly<Partial<Record<Stage, readonly (keyof RunSize)[]>>> = {
  downloading: ["archiveBytes"],
  assembling: ["packageCount", "archiveBytes"],
};

/** Tells the time of a stage for a size; null for one that is not known. */
export type StageModel = (size: RunSize | null) => Estimate;

/** How few samples still make a model. */
export const LEAST_SAMPLES = 3;

/** The model that explains the samples best; there must be `LEAST_SAMPLES` at least. Linear in their number, but for a sort. */
export function stageModelOf(stage: Stage, samples: readonly StageTime[]): StageModel {
  const whateverSize = fitted(
    samples.map((sample) => ({ ...sample, size: NO_SIZE })),
    [],
  );
  const sized = samples.filter((sample): sample is Sized => sample.size !== null);
  const bySize = sized.length < LEAST_SAMPLES ? whateverSize : fitted(sized, SIZES_OF[stage] ?? []);
  return (size) => (size === null ? whateverSize(NO_SIZE) : bySize(size));
}

function fitted(samples: readonly Sized[], sizes: readonly (keyof RunSize)[]): (size: RunSize) => Estimate {
  const { predict, freedom } = bestOf(candidatesFor(sizes, samples));
  const logs = samples.map((sample) => Math.log(timeOf(sample) / predict(sample.size))).sort((a, b) => a - b);
  const middle = medianOf(logs);
  const variance = logs.reduce((sum, log) => sum + (log - middle) ** 2, 0) / freedom;
  const spread = Math.exp(studentP90(freedom) * Math.sqrt(variance * (1 + 1 / samples.length)));
  return (size) => {
    const p50Ms = predict(size) * Math.exp(middle);
    return { p50Ms, p90Ms: p50Ms * spread };
  };
}

const NO_SIZE: RunSize = { archiveBytes: 0, packageCount: 0 };
/** Brings the sizes near to one, so that the equations are well conditioned. */
const UNIT_OF: Readonly<Record<keyof RunSize, number>> = { archiveBytes: 1e7, packageCount: 10 };
/** What rounds to no time at all must still have a logarithm. */
const LEAST_MS = 1;

type Column = (size: RunSize) => number;

function timeOf({ tookMs }: StageTime): number {
  return Math.max(tookMs, LEAST_MS);
}

interface Candidate {
  readonly predict: Column;
  /** Degrees of freedom that the samples have left. */
  readonly freedom: number;
  /** Of the relative errors. */
  readonly variance: number;
}

/** One for each choice of columns that leaves at least half of the samples over to tell how far off it is. */
function candidatesFor(sizes: readonly (keyof RunSize)[], samples: readonly Sized[]): Candidate[] {
  const columns: Column[] = [() => 1, ...sizes.map((name) => (size: RunSize) => size[name] / UNIT_OF[name])];
  const choices = Array.from({ length: 2 ** columns.length - 1 }, (_, bits) => columns.filter((_column, index) => ((bits + 1) >> index) % 2 === 1));
  return choices.filter((choice) => choice.length <= samples.length / 2).flatMap((choice) => leastSquares(choice, samples) ?? []);
}

function bestOf(candidates: readonly Candidate[]): Candidate {
  return candidates.reduce((best, candidate) => (candidate.variance < best.variance ? candidate : best));
}

/** Least squares of the relative errors; null where the samples do not determine the coefficients or want a negative one. */
function leastSquares(columns: readonly Column[], samples: readonly Sized[]): Candidate | null {
  const rows = samples.map((sample) => columns.map((column) => column(sample.size) / timeOf(sample)));
  const sumOver = (value: (row: readonly number[]) => number): number => rows.reduce((sum, row) => sum + value(row), 0);
  const matrix = columns.map((_, i) => columns.map((_column, j) => sumOver((row) => at(row, i) * at(row, j))));
  const right = columns.map((_, i) => sumOver((row) => at(row, i)));
  const coefficients = solve(matrix, right);
  if (coefficients === null || coefficients.some((coefficient) => coefficient < 0)) return null;
  const predict: Column = (size) =>
    Math.max(
      LEAST_MS,
      coefficients.reduce((sum, coefficient, index) => sum + coefficient * (columns[index]?.(size) ?? 0), 0),
    );
  const freedom = samples.length - columns.length;
  const variance = sumOver((row) => (row.reduce((sum, value, index) => sum + value * at(coefficients, index), 0) - 1) ** 2) / freedom;
  return { predict, freedom, variance };
}

/** Gaussian elimination of a symmetric, positive matrix; null where it is as good as singular. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] | null {
  const rows = matrix.map((row, index) => [...row, at(right, index)]);
  for (const [index, row] of rows.entries()) {
    if (!(at(row, index) > 1e-9 * at(matrix[index] ?? [], index))) return null;
    for (const [other, target] of rows.entries()) {
      if (other === index) continue;
      const factor = at(target, index) / at(row, index);
      for (const [column, value] of row.entries()) target[column] = at(target, column) - factor * value;
    }
  }
  const solution = rows.map((row, index) => at(row, rows.length) / at(row, index));
  return solution.every(Number.isFinite) ? solution : null;
}

function at(values: readonly number[], index: number): number {
  return values[index] ?? 0;
}

function medianOf(sorted: readonly number[]): number {
  const half = (sorted.length - 1) / 2;
  return (at(sorted, Math.floor(half)) + at(sorted, Math.ceil(half))) / 2;
}

/** The 90th percentile of Student's t: few samples say little about the tail (Abramowitz and Stegun 26.7.5, to the second order). */
function studentP90(freedom: number): number {
  return 1.2816 + 0.8466 / freedom + 0.571 / freedom ** 2;
}
