import { expect, it } from "vitest";
import type { Clock } from "../../src/scheduler/clock.ts";
import { Line } from "../../src/scheduler/line.ts";
import { FairQueue } from "../../src/scheduler/queue.ts";

let nowMs = 0;
const clock: Clock = { now: () => nowMs, monotonicMs: () => nowMs, after: () => () => undefined };

function lineOf(count: number): { queue: FairQueue<null>; line: Line<null>; add: (id: string) => void } {
  const queue = new FairQueue<null>({ now: () => nowMs });
  const add = (id: string): void => queue.add({ id, uid: 0, requestClass: "timer", arrivedMs: nowMs, value: null });
  for (let n = 0; n < count; n += 1) add(`${n}`);
  return { queue, line: new Line(queue, clock), add };
}

it("a place in a short line is always right: after an arrival, a departure, a promotion, and one that is blocked", () => {
  const { queue, line, add } = lineOf(3);
  expect(line.placeOf("2")).toBe(3);
  add("late");
  expect(line.placeOf("late")).toBe(4);
  queue.remove("0");
  expect(line.placeOf("2")).toBe(2);
  queue.promote("late", "interactive");
  expect([line.placeOf("late"), line.placeOf("2")]).toEqual([1, 3]);
  queue.block("late");
  expect(line.placeOf("late")).toBe(3);
  queue.remove("late");
  expect(line.placeOf("2")).toBe(2);
});

it("a place in a long line is right after a second, and who has come meanwhile stands at its end", () => {
  const { queue, line, add } = lineOf(500);
  expect(line.placeOf("499")).toBe(500);
  queue.next();
  add("late");
  expect(line.placeOf("late")).toBe(500);
  queue.promote("late", "interactive");
  nowMs += 1000;
  expect([line.placeOf("late"), line.placeOf("1"), line.placeOf("499")]).toEqual([1, 2, 500]);
});
