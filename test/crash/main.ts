/** `npm run crash`: proves the daemon under fire. The last line is the count of rounds. */
import { campaignRound } from "./campaign.ts";
import { readOptions } from "./options.ts";
import { faultRounds, transitionRounds } from "./rounds.ts";
import { runRounds } from "./run.ts";

const { seed, rounds, transitions, faults } = readOptions(process.argv.slice(2));
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const sweeps = [...(transitions ? transitionRounds(say) : []), ...(faults ? faultRounds(say) : [])];
const work = sweeps.length > 0 ? sweeps : Array.from({ length: rounds }, (_, round) => campaignRound(seed, round, say));
const done = await runRounds(work, say);
say(`${done.rounds - done.violations} passed, ${done.violations} failed`);
process.exitCode = done.violations === 0 ? 0 : 1;
