import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STAGES, STAGES_OF, type Stage } from "../../src/model/transaction.ts";
import { Estimates, type StagePosition, type StageSample } from "../../src/scheduler/estimates.ts";
import type { RunSize } from "../../src/scheduler/stage-model.ts";

const PROPERTY = { seed: Number(process.env.SEED ?? Date.now() % 2 ** 31), numRuns: 300, verbose: 1 };
const INSTALL = STAGES_OF.install;
const SMALL: RunSize = { archiveBytes: 1e6, packageCount: 4 };

function sample(stage: Stage, tookMs: number, rest: Partial<StageSample> = {}): StageSample {
  return { kind: "install", stage, tookMs, cached: false, ...SMALL, ...rest };
}

function learned(...samples: StageSample[]): Estimates {
  const estimates = new Estimates();
  for (const each of samples) estimates.learn(each);
  return estimates;
}

function startOf(stage: Stage): StagePosition {
  return { stage, fraction: 0, stageElapsedMs: 0 };
}

describe("the time that a run will still take", () => {
  it("is what its stages took before, and less while they go on", () => {
    const estimates = learned(...[1000, 1100, 900].map((ms) => sample("planning", ms)), ...[2000, 2000, 2000].map((ms) => sample("deploying", ms)));
    const plan = { stages: ["planning", "deploying"] as const, sizes: SMALL };
    expect(estimates.remaining(plan, startOf("planning"))?.p50Ms).toBeCloseTo(3000, 0);
    expect(estimates.remaining(plan, { stage: "planning", fraction: 0, stageElapsedMs: 400 })?.p50Ms).toBeCloseTo(2600, 0);
    expect(estimates.remaining(plan, { stage: "planning", fraction: 0.5, stageElapsedMs: 500 })?.p50Ms).toBeCloseTo(2500, 0);
    expect(estimates.remaining(plan, startOf("deploying"))?.p50Ms).toBeCloseTo(2000, 0);
    expect(estimates.remaining(plan, startOf("pruning"))).toBeNull();
  });

  it("grows with what is to be downloaded and unpacked", () => {
    const samples = [1, 2, 4, 8, 16, 32].flatMap((count) => {
      const size = { packageCount: count, archiveBytes: 1e6 * count ** 1.5 };
      return [sample("downloading", 500 + size.archiveBytes / 1e4, size), sample("assembling", 2000 + 300 * count + size.archiveBytes / 2e4, size)];
    });
    const estimates = learned(...samples);
    const sizes = { packageCount: 100, archiveBytes: 3e8 };
    expect(estimates.remaining({ stages: ["downloading"], sizes }, startOf("downloading"))?.p50Ms).toBeCloseTo(30_500, 0);
    expect(estimates.remaining({ stages: ["assembling"], sizes }, startOf("assembling"))?.p50Ms).toBeCloseTo(47_000, 0);
  });

  it("is told with more doubt the more earlier runs differed, and the fewer they were", () => {
    const doubt = (...took: number[]): number => {
      const estimate = learned(...took.map((ms) => sample("planning", ms))).remaining({ stages: ["planning"], sizes: SMALL }, startOf("planning"));
      return (estimate?.p90Ms ?? 0) / (estimate?.p50Ms ?? 1);
    };
    expect(doubt(1000, 1000, 1000)).toBeCloseTo(1);
    expect(doubt(900, 1000, 1100)).toBeLessThan(doubt(500, 1000, 1500));
    expect(doubt(...[900, 1000, 1100, 900, 1000, 1100])).toBeLessThan(doubt(900, 1000, 1100));
  });

  it("follows the newest runs: what was long ago is forgotten", () => {
    const estimates = learned(...Array.from({ length: 200 }, (_, index) => sample("planning", index < 100 ? 60_000 : 1000)));
    expect(estimates.remaining({ stages: ["planning"], sizes: SMALL }, startOf("planning"))).toEqual({ p50Ms: 1000, p90Ms: 1000 });
  });

  it("does not count stages that a cache will answer, nor learns from those how long the work takes", () => {
    const estimates = learned(
      ...[1000, 1000, 1000].map((ms) => sample("refreshing", ms)),
      ...[5, 5, 5, 5].map((ms) => sample("refreshing", ms, { cached: true })),
      ...[100, 100, 100].map((ms) => sample("planning", ms)),
    );
    const plan = { stages: ["refreshing", "planning"] as const, sizes: SMALL };
    expect(estimates.remaining(plan, startOf("refreshing"))?.p50Ms).toBeCloseTo(1100);
    expect(estimates.remaining({ ...plan, cachedLikely: ["refreshing"] }, startOf("refreshing"))?.p50Ms).toBeCloseTo(105);
    expect(estimates.remaining({ ...plan, cachedLikely: ["refreshing", "planning"] }, startOf("refreshing"))?.p50Ms).toBeCloseTo(5);
  });

  it("comes from the run's own speed where there is no history, as soon as that tells something", () => {
    const estimates = learned(sample("downloading", 1), sample("downloading", 1));
    const plan = { stages: ["downloading", "assembling"] as const, sizes: SMALL };
    expect(estimates.remaining(plan, { stage: "downloading", fraction: 0.09, stageElapsedMs: 900 })).toBeNull();
    expect(estimates.remaining({ ...plan, cachedLikely: ["downloading"] }, startOf("downloading"))).toBeNull();
    // The assembling takes 54 parts where the downloading takes 20.
    expect(estimates.remaining(plan, { stage: "downloading", fraction: 0.5, stageElapsedMs: 1000 })?.p50Ms).toBeCloseTo(1000 + 2000 * (54 / 20));
  });

  it("is corrected by the run's own speed, the more the further it is", () => {
    const estimates = learned(...[1000, 1000, 1000].map((ms) => sample("assembling", ms)));
    const wholeMs = (fraction: number): number => {
      const left = estimates.remaining({ stages: ["assembling"], sizes: SMALL }, { stage: "assembling", fraction, stageElapsedMs: 4000 * fraction });
      return (left?.p50Ms ?? 0) / (1 - fraction);
    };
    expect(wholeMs(0.01)).toBeLessThan(1050);
    for (const fraction of [0.1, 0.3, 0.5, 0.7]) expect(wholeMs(fraction)).toBeLessThan(wholeMs(fraction + 0.2));
    expect(wholeMs(0.9)).toBeGreaterThan(3000);
  });
});

/** A machine whose stages take what their sizes demand, times chance. */
const machine = fc.record({
  msOf: fc.record({
    refreshing: fc.integer({ min: 200, max: 5000 }),
    planning: fc.integer({ min: 200, max: 2000 }),
    downloading: fc.integer({ min: 20, max: 500 }),
    assembling: fc.integer({ min: 500, max: 5000 }),
    deploying: fc.integer({ min: 200, max: 3000 }),
  }),
  msPerMegabyte: fc.record({ downloading: fc.integer({ min: 10, max: 1000 }), assembling: fc.integer({ min: 5, max: 100 }) }),
  msPerPackage: fc.integer({ min: 20, max: 500 }),
});
const chance = fc.integer({ min: 1, max: 999 }).map((permille) => permille / 1000);
const runOn = fc.record({
  sizes: fc
    .tuple(fc.integer({ min: 1, max: 150 }), chance)
    .map(([packageCount, u]) => ({ packageCount, archiveBytes: Math.round(packageCount * 4e5 * (0.3 + u)) })),
  noise: fc.array(fc.tuple(chance, chance), { minLength: INSTALL.length, maxLength: INSTALL.length }),
});

describe("over many machines and histories", () => {
  it("at a quarter of the way, after five runs or more, half of the errors are below a fifth, and the ninth decile holds", () => {
    const errors: number[] = [];
    let covered = 0;
    fc.assert(
      fc.property(
        machine,
        fc.array(runOn, { minLength: 6, maxLength: 40 }),
        fc.constantFrom(0.1, 0.2, 0.3),
        ({ msOf, msPerMegabyte, msPerPackage }, runs, sigma) => {
          const timesOf = (run: (typeof runs)[number]): number[] =>
            INSTALL.map((stage, index) => {
              const megabytes = run.sizes.archiveBytes / 1e6;
              const [u, v] = run.noise[index] ?? [0.5, 0.25];
              // Box and Muller: a factor whose logarithm is normally distributed.
              const factor = Math.exp(sigma * Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v));
              const byBytes = stage === "downloading" || stage === "assembling" ? msPerMegabyte[stage] * megabytes : 0;
              return factor * (msOf[stage as keyof typeof msOf] + byBytes + (stage === "assembling" ? msPerPackage * run.sizes.packageCount : 0));
            });
          const estimates = new Estimates();
          for (const past of runs.slice(1))
            for (const [index, tookMs] of timesOf(past).entries()) estimates.learn(sample(INSTALL[index] as Stage, tookMs, past.sizes));
          const [present] = runs;
          const times = timesOf(present as (typeof runs)[number]);
          const total = times.reduce((sum, ms) => sum + ms, 0);
          let elapsed = 0.25 * total;
          const index = times.findIndex((ms) => {
            elapsed -= ms;
            return elapsed < 0;
          });
          const stageMs = times[index] ?? 0;
          const stageElapsedMs = stageMs + elapsed;
          const position = { stage: INSTALL[index] as Stage, fraction: stageElapsedMs / stageMs, stageElapsedMs };
          const left = estimates.remaining({ stages: INSTALL, sizes: present?.sizes ?? SMALL }, position);
          errors.push(Math.abs((left?.p50Ms ?? 0) / (0.75 * total) - 1));
          if ((left?.p90Ms ?? 0) >= 0.75 * total) covered += 1;
        },
      ),
      { ...PROPERTY, numRuns: 1000 },
    );
    errors.sort((a, b) => a - b);
    expect(errors[errors.length / 2]).toBeLessThanOrEqual(0.2);
    expect(covered / errors.length).toBeGreaterThanOrEqual(0.85);
  });

  it("whatever was measured, an estimate is a time, and its ninth decile is not before its middle", () => {
    const size = fc.record({ archiveBytes: fc.oneof(fc.constant(0), fc.nat(), fc.maxSafeNat()), packageCount: fc.oneof(fc.constant(0), fc.nat()) });
    const ms = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e12, noNaN: true }), fc.nat(1000));
    const samples = fc.array(fc.tuple(fc.constantFrom(...STAGES), ms, fc.boolean(), size, fc.nat(3)), { maxLength: 60 });
    const position = fc.record({
      stage: fc.constantFrom(...STAGES),
      fraction: fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })),
      stageElapsedMs: ms,
    });
    fc.assert(
      fc.property(samples, size, fc.subarray([...STAGES]), position, (past, sizes, cachedLikely, at) => {
        const estimates = new Estimates();
        for (const [stage, tookMs, cached, of, again] of past)
          for (let times = 0; times <= again; times++) estimates.learn({ kind: "install", stage, tookMs, cached, ...of });
        const left = estimates.remaining({ stages: STAGES, sizes, cachedLikely }, at);
        if (left === null) return;
        expect(Number.isFinite(left.p50Ms) && Number.isFinite(left.p90Ms)).toBe(true);
        expect(left.p50Ms).toBeGreaterThanOrEqual(0);
        expect(left.p90Ms).toBeGreaterThanOrEqual(left.p50Ms);
      }),
      { ...PROPERTY, numRuns: 1000 },
    );
  });

  it("more to do never takes less time, nor does the same at an earlier point", () => {
    fc.assert(
      fc.property(fc.array(runOn, { minLength: 3, maxLength: 20 }), runOn, chance, fc.constantFrom(...INSTALL), (past, run, part, stage) => {
        const estimates = new Estimates();
        for (const { sizes, noise } of past)
          for (const [index, each] of INSTALL.entries())
            estimates.learn(sample(each, 1000 * (0.5 + (noise[index]?.[0] ?? 0)) + sizes.archiveBytes / 1e4, sizes));
        const p50 = (sizes: RunSize, at: StagePosition): number => estimates.remaining({ stages: INSTALL, sizes }, at)?.p50Ms ?? Number.NaN;
        const more = { packageCount: run.sizes.packageCount * 2, archiveBytes: run.sizes.archiveBytes * 2 };
        expect(p50(more, startOf(stage))).toBeGreaterThanOrEqual(p50(run.sizes, startOf(stage)));
        // At a steady speed, and by the clock alone.
        const usualMs = p50(run.sizes, startOf("deploying"));
        const later = { stage: "deploying" as const, fraction: part, stageElapsedMs: part * usualMs };
        expect(p50(run.sizes, later)).toBeLessThanOrEqual(usualMs);
        expect(p50(run.sizes, { ...later, fraction: 0 })).toBeLessThanOrEqual(usualMs);
      }),
      PROPERTY,
    );
  });
});
