import { expect, it } from "vitest";
import { exec } from "../../src/engines/exec.ts";

it("a child of background work gets the processor and the disk only where nobody else wants them", async () => {
  const look = ["-c", "nice; ionice --pid $$"];
  const usual = (await exec("sh", look)).stdout.split("\n");
  const background = (await exec("sh", look, { background: true })).stdout.split("\n");
  expect(Number(background[0])).toBe(Math.min(Number(usual[0]) + 10, 19));
  expect(background[1]).toBe("idle");
});
