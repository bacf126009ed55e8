/** `npm run simulate -- [--seeds N] [--seed S]`: busy hours from N seeds from S on, each twice, on the real scheduler in simulated time. */
import { parseArgs } from "node:util";
import { busyHour } from "./scenarios.ts";

const { values } = parseArgs({ options: { seeds: { type: "string" }, seed: { type: "string" } } });
const first = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const count = Number(values.seeds ?? (values.seed === undefined ? 100 : 1));
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1) {
  process.stderr.write("usage: npm run simulate -- [--seeds COUNT] [--seed NUMBER]\n");
  process.exit(2);
}

let failed = 0;
let events = 0;
let lives = 0;
let simulatedMs = 0;
for (let seed = first; seed < first + count; seed += 1) {
  const outcome = await busyHour(seed);
  const again = await busyHour(seed);
  const violations = [...new Set(outcome.violations), ...(outcome.eventHash === again.eventHash ? [] : ["the same seed did not do the same twice"])];
  events += outcome.events;
  lives += outcome.lives;
  simulatedMs += outcome.simulatedMs;
  if (violations.length === 0) continue;
  failed += 1;
  process.stdout.write(`seed ${seed}: ${violations.slice(0, 5).join("\n  ")}\n`);
}
process.stdout.write(`seeds ${first} to ${first + count - 1}: ${lives} daemons, ${events} events, ${Math.round(simulatedMs / 3_600_000)} hours\n`);
process.stdout.write(`${count - failed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
