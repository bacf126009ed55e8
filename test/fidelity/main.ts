/** `npm run fidelity`: whether a layered tree is what plain apt makes of the same base and packages. The last line counts; the status is 1 where one differs or fails. */
import { toErrorValue } from "../../src/model/errors.ts";
import { readOptions } from "./options.ts";
import { isSame, lineOf, summaryOf } from "./report.ts";
import { type Outcome, runSets } from "./run.ts";

const options = readOptions(process.argv.slice(2));
const startMs = performance.now();
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const ending = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(name, () => ending.abort());

const outcomes: Outcome[] = [];
try {
  await runSets(options, ending.signal, (outcome) => {
    outcomes.push(outcome);
    say(lineOf(outcome, options.all));
    process.stderr.write(`${outcomes.length} of ${options.sets.length}: ${outcome.set} took ${Math.round(outcome.tookMs / 1000)} s\n`);
  });
} catch (error) {
  if (!ending.signal.aborted) process.stderr.write(`apt-ostree: ${toErrorValue(error).message}\n`);
}
for (const line of summaryOf(outcomes, performance.now() - startMs)) say(line);
if (ending.signal.aborted) process.exitCode = 130;
else if (outcomes.length < options.sets.length || !outcomes.every(isSame)) process.exitCode = 1;
