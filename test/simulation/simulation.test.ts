import { describe, expect, it } from "vitest";
import { makeRequest } from "../../src/model/request.ts";
import type { Request } from "../../src/model/transaction.ts";
import { busyHour, FAULTS, hurtAt, quietYear } from "./scenarios.ts";

/** Printed in each failure, and taken from the environment to repeat one. */
const SEED = Number(process.env.APT_OSTREE_TEST_SEED ?? Date.now() % 1_000_000);
const HOURS = 20;

describe("a simulated host", () => {
  it(`keeps its promises through ${HOURS} busy hours, and does the same again from the same seed`, { timeout: 300_000 }, async () => {
    for (let seed = SEED; seed < SEED + HOURS; seed += 1) {
      const outcome = await busyHour(seed);
      expect(outcome.violations, `seed ${seed}`).toEqual([]);
      if (seed % 10 === 0) expect((await busyHour(seed)).eventHash, `seed ${seed} twice`).toBe(outcome.eventHash);
    }
  });

  const requests: readonly Request[] = [
    makeRequest("install", { packages: ["nano"] }),
    makeRequest("uninstall", { packages: ["vim"] }),
    makeRequest("upgrade"),
    makeRequest("rollback"),
    makeRequest("prefetch"),
    makeRequest("refresh"),
    makeRequest("cleanup", { targets: ["base"] }),
  ];
  for (const fault of FAULTS) {
    it(`survives ${fault} at each transition of its journal, and again while it recovers`, { timeout: 300_000 }, async () => {
      for (const request of requests) {
        for (const again of [0, 1, 3]) {
          for (let at = 1; ; at += 1) {
            const outcome = await hurtAt(SEED + at, request, fault, at, again);
            expect(outcome.violations, `seed ${SEED + at}, ${request.kind}, ${fault} at commit ${at}, again after ${again}`).toEqual([]);
            if (!outcome.hurt) break;
          }
        }
      }
    });
  }

  it("lives a year of timers, people, and a crash now and then", { timeout: 300_000 }, async () => {
    const outcome = await quietYear(SEED);
    expect(outcome.violations, `seed ${SEED}`).toEqual([]);
    expect(outcome.simulatedMs).toBeGreaterThan(365 * 24 * 3_600_000);
  });
});
