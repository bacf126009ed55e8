import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STAGES, STAGES_OF, type Stage } from "../../src/model/transaction.ts";
import { Estimates, type StagePosition, type StageSample } from "../../src/scheduler/estimates.ts";
import type { RunSize } from "../../src/scheduler/stage-model.ts";

const PROPERTY = { seed: Number(process.env.SEED ?? Date.now() % 2 ** 31), numRuns: 300, verbose: 1 };
const INSTALL = STAGES_OF.install;
const SMALL: RunSize = { archiveBytes: 1e6, packageCount: 4 };

function sample(stage: Stage, tookMs: number, rest: Partial<StageSample> = {}): StageSample {
  return { stage, tookMs, cached: false, size: SMALL, ...rest };
}

function learned(...samples: StageSample[]): Estimates {
  const estimates = new Estimates();
  for (const each of samples) estimates.learn(each);
  return estimates;
}

describe("the time that a run will still take", () => {
  it("is what its stages took before, and less while they go on", () => {
    const estimates = learned(...[1000, 1100, 900].map((ms) => sample("planning", ms)), ...[2000, 2000, 2000].map((ms) => sample("deploying", ms)));
    const left = (at: StagePosition | null): number | undefined => estimates.remaining(["planning", "deploying"], SMALL, at)?.p50Ms;
    expect(left(null)).toBeCloseTo(3000, 0);
    expect(left({ stage: "planning", fraction: 0, elapsedMs: 400 })).toBeCloseTo(2600, 0);
    expect(left({ stage: "planning", fraction: 0.5, elapsedMs: 500 })).toBeCloseTo(2500, 0);
    expect(left({ stage: "deploying", fraction: 0, elapsedMs: 0 })).toBeCloseTo(2000, 0);
    expect(left({ stage: "deploying", fraction: 1, elapsedMs: 2000 })).toBe(0);
    expect(left({ stage: "pruning", fraction: 0, elapsedMs: 0 })).toBeUndefined();
  });

  it("grows with what is to be downloaded and unpacked", () => {
    const samples = [1, 2, 4, 8, 16, 32].flatMap((count) => {
      const size = { packageCount: count, archiveBytes: 1e6 * count ** 1.5 };
      return [
        sample("downloading", 500 + size.archiveBytes / 1e4, { size }),
        sample("assembling", 2000 + 300 * count + size.archiveBytes / 2e4, { size }),
      ];
    });
    const estimates = learned(...samples);
    const size = { packageCount: 100, archiveBytes: 3e8 };
    expect(estimates.remaining(["downloading"], size, null)?.p50Ms).toBeCloseTo(30_500, 0);
    expect(estimates.remaining(["assembling"], size, null)?.p50Ms).toBeCloseTo(47_000, 0);
  });

  it("is what runs of any size took as long as the size is not known", () => {
    const estimates = learned(...[1000, 2000, 9000].map((ms) => sample("downloading", ms, { size: { packageCount: 1, archiveBytes: 1e3 * ms } })));
    const estimate = estimates.remaining(["downloading"], null, null);
    expect(estimate?.p50Ms).toBeCloseTo(2000, 0);
    expect(estimate?.p90Ms).toBeGreaterThan(9000);
    const unsized = learned(...[1000, 1000, 1000].map((ms) => sample("downloading", ms, { size: null })));
    expect(unsized.remaining(["downloading"], SMALL, null)?.p50Ms).toBeCloseTo(1000, 0);
  });

  it("is told with more doubt the more earlier runs differed, and the fewer they were", () => {
    const doubt = (...took: number[]): number => {
      const estimate = learned(...took.map((ms) => sample("planning", ms))).remaining(["planning"], SMALL, null);
      return (estimate?.p90Ms ?? 0) / (estimate?.p50Ms ?? 1);
    };
    expect(doubt(1000, 1000, 1000)).toBeCloseTo(1);
    expect(doubt(900, 1000, 1100)).toBeLessThan(doubt(500, 1000, 1500));
    expect(doubt(...[900, 1000, 1100, 900, 1000, 1100])).toBeLessThan(doubt(900, 1000, 1100));
  });

  it("follows the newest runs: what was long ago is forgotten", () => {
    const estimates = learned(...Array.from({ length: 164 }, (_, index) => sample("planning", index < 100 ? 60_000 : 1000)));
    expect(estimates.remaining(["planning"], SMALL, null)).toEqual({ p50Ms: 1000, p90Ms: 1000 });
  });

  it("does not learn from what a cache answered", () => {
    const cached = [5, 5, 5, 5].map((ms) => sample("refreshing", ms, { cached: true }));
    expect(learned(...cached).remaining(["refreshing"], SMALL, null)).toBeNull();
    const worked = [1000, 1000, 1000].map((ms) => sample("refreshing", ms));
    expect(learned(...worked, ...cached).remaining(["refreshing"], SMALL, null)?.p50Ms).toBeCloseTo(1000, 0);
  });

  it("is not known while a stage that is left has fewer than three samples", () => {
    const estimates = learned(...[100, 100, 100].map((ms) => sample("planning", ms)), ...[1, 1].map((ms) => sample("deploying", ms)));
    expect(estimates.remaining(["planning", "deploying"], SMALL, null)).toBeNull();
    expect(estimates.remaining(["planning"], SMALL, null)).not.toBeNull();
    estimates.learn(sample("deploying", 1));
    expect(estimates.remaining(["planning", "deploying"], SMALL, null)).not.toBeNull();
    // What is over needs no history.
    expect(estimates.remaining(["refreshing", "planning"], SMALL, { stage: "planning", fraction: 0, elapsedMs: 0 })).not.toBeNull();
  });

  it("comes from the run's own speed where there is no history of its stage, as soon as that tells something", () => {
    const estimates = learned(...[100, 100, 100].map((ms) => sample("deploying", ms)));
    const left = (fraction: number): number | undefined =>
      estimates.remaining(["downloading", "deploying"], SMALL, { stage: "downloading", fraction, elapsedMs: 1000 })?.p50Ms;
    expect([left(0), left(0.09)]).toEqual([undefined, undefined]);
    expect(left(0.1)).toBeCloseTo(9100, 0);
    expect(left(0.5)).toBeCloseTo(1100, 0);
  });

  it("is corrected by the run's own speed, the more the further it is", () => {
    const estimates = learned(...[1000, 1000, 1000].map((ms) => sample("assembling", ms)));
    const wholeMs = (fraction: number): number => {
      const left = estimates.remaining(["assembling"], SMALL, { stage: "assembling", fraction, elapsedMs: 4000 * fraction });
      return (left?.p50Ms ?? 0) / (1 - fraction);
    };
    expect(wholeMs(0.01)).toBeLessThan(1050);
    for (const fraction of [0.1, 0.3, 0.5, 0.7]) expect(wholeMs(fraction)).toBeLessThan(wholeMs(fraction + 0.2));
    expect(wholeMs(0.9)).toBeGreaterThan(3000);
  });

  it("believes no speed that comes from what was there already", () => {
    const estimates = learned(...[1000, 1000, 1000].map((ms) => sample("downloading", ms)));
    expect(estimates.remaining(["downloading"], SMALL, { stage: "downloading", fraction: 0.5, elapsedMs: 0 })?.p50Ms).toBeCloseTo(250, 0);
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
        fc.array(runOn, { minLength: 6, maxLength: 40, size: "max" }),
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
            for (const [index, tookMs] of timesOf(past).entries()) estimates.learn(sample(INSTALL[index] as Stage, tookMs, { size: past.sizes }));
          const [present] = runs;
          const times = timesOf(present as (typeof runs)[number]);
          const total = times.reduce((sum, ms) => sum + ms, 0);
          let elapsed = 0.25 * total;
          const index = times.findIndex((ms) => {
            elapsed -= ms;
            return elapsed < 0;
          });
          const stageMs = times[index] ?? 0;
          const elapsedMs = stageMs + elapsed;
          const position = { stage: INSTALL[index] as Stage, fraction: elapsedMs / stageMs, elapsedMs };
          const left = estimates.remaining(INSTALL, present?.sizes ?? SMALL, position);
          errors.push(Math.abs((left?.p50Ms ?? 0) / (0.75 * total) - 1));
          if ((left?.p90Ms ?? 0) >= 0.75 * total) covered += 1;
        },
      ),
      { ...PROPERTY, numRuns: 1000 },
    );
    errors.sort((a, b) => a - b);
    expect(errors[Math.floor(errors.length / 2)]).toBeLessThanOrEqual(0.2);
    expect(covered / errors.length).toBeGreaterThanOrEqual(0.85);
  });

  it("whatever was measured, an estimate is a time, and its ninth decile is not before its middle", () => {
    const someSize = fc.record({
      archiveBytes: fc.oneof(fc.constant(0), fc.nat(), fc.maxSafeNat()),
      packageCount: fc.oneof(fc.constant(0), fc.nat()),
    });
    const size = fc.option(someSize, { freq: 5 });
    const ms = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e12, noNaN: true }), fc.nat(1000));
    const past = fc.array(fc.tuple(fc.constantFrom(...STAGES), ms, fc.boolean(), size, fc.nat(3)), { maxLength: 60, size: "max" });
    const position = fc.record({
      stage: fc.constantFrom(...STAGES),
      fraction: fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })),
      elapsedMs: ms,
    });
    fc.assert(
      fc.property(past, size, fc.option(position, { freq: 5 }), fc.subarray([...STAGES]), (samples, present, at, stages) => {
        const estimates = new Estimates();
        for (const [stage, tookMs, cached, of, again] of samples)
          for (let times = 0; times <= again; times++) estimates.learn({ stage, tookMs, cached, size: of });
        const left = estimates.remaining(stages, present, at);
        expect(estimates.remaining(stages, present, at)).toEqual(left);
        if (left === null) return;
        expect(Number.isFinite(left.p50Ms) && Number.isFinite(left.p90Ms)).toBe(true);
        expect(left.p50Ms).toBeGreaterThanOrEqual(0);
        expect(left.p90Ms).toBeGreaterThanOrEqual(left.p50Ms);
      }),
      { ...PROPERTY, numRuns: 1000 },
    );
  });

  it("more to do never takes less time, nor does the same at a later point", () => {
    fc.assert(
      fc.property(fc.array(runOn, { minLength: 3, maxLength: 20, size: "max" }), runOn, chance, (past, { sizes }, part) => {
        const estimates = new Estimates();
        for (const run of past)
          for (const [index, each] of INSTALL.entries())
            estimates.learn(sample(each, 1000 * (0.5 + (run.noise[index]?.[0] ?? 0)) + run.sizes.archiveBytes / 1e4, { size: run.sizes }));
        const p50 = (size: RunSize, at: StagePosition | null): number => estimates.remaining(INSTALL, size, at)?.p50Ms ?? Number.NaN;
        const more = { packageCount: sizes.packageCount * 2, archiveBytes: sizes.archiveBytes * 2 };
        expect(p50(more, null)).toBeGreaterThanOrEqual(p50(sizes, null));
        // At a steady speed, and by the clock alone.
        const usualMs = p50(sizes, { stage: "deploying", fraction: 0, elapsedMs: 0 });
        const later = { stage: "deploying" as const, fraction: part, elapsedMs: part * usualMs };
        expect(p50(sizes, later)).toBeLessThanOrEqual(usualMs);
        expect(p50(sizes, { ...later, fraction: 0 })).toBeLessThanOrEqual(usualMs);
      }),
      PROPERTY,
    );
  });
});
