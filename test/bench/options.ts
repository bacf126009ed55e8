/** What `npm run bench` can be told. */
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { checkoutRoot } from "../../src/sandbox/layout.ts";

/** A package set to measure with. */
export interface PackageSet {
  /** About how many packages it brings, itself included: its name in tables and on the command line. */
  readonly size: number;
  readonly packages: readonly string[];
}

/** The sets, smallest first. None of their packages needs a running service, and none changes a package of the base. */
export const SETS: readonly PackageSet[] = [
  { size: 1, packages: ["hello"] },
  { size: 40, packages: ["nginx", "vim", "git", "python3-numpy"] },
  { size: 150, packages: ["nginx", "vim", "git", "python3-scipy", "build-essential", "cmake", "gdb"] },
];

/** The set of the aims for status calls: a transaction that is long enough to be watched. */
export const WATCHED_SET = 40;

/** What to measure, and where to write it. */
export interface BenchOptions {
  readonly pairs: number;
  readonly sets: readonly PackageSet[];
  readonly json: string;
  readonly quick: boolean;
}

/** Reads the command line; ends the program with a message where it is wrong. */
export function readOptions(argv: readonly string[]): BenchOptions {
  const program = new Command("npm run bench --")
    .description("measures apt-ostree against plain apt-get and against the naive way of layering, on this machine")
    .addOption(new Option("--pairs <n>", "how often each way is run, alternately").argParser(parsePairs))
    .addOption(new Option("--sets <sizes>", `package sets: ${SETS.map((set) => set.size).join(",")}`).argParser(parseSets))
    .addOption(new Option("--json <file>", "where to write every measurement").default(join(checkoutRoot(), ".sandbox/bench.json")))
    .addOption(new Option("--quick", "one pair of the two smaller sets and shorter watches: to see that it works").default(false))
    .allowExcessArguments(false);
  const { pairs, sets, json, quick } = program.parse(argv, { from: "user" }).opts<Partial<BenchOptions> & { json: string; quick: boolean }>();
  return {
    pairs: pairs ?? (quick ? 1 : 5),
    sets: sets ?? (quick ? SETS.filter((set) => set.size < 100) : SETS),
    json,
    quick,
  };
}

function parsePairs(text: string): number {
  const pairs = Number(text);
  if (!Number.isInteger(pairs) || pairs < 1 || pairs > 100) throw new InvalidArgumentError("a number from 1 to 100 is needed");
  return pairs;
}

function parseSets(text: string): PackageSet[] {
  return text.split(",").map((part) => {
    const found = SETS.find((set) => String(set.size) === part.trim());
    if (found === undefined) throw new InvalidArgumentError(`the sets are ${SETS.map((set) => set.size).join(", ")}`);
    return found;
  });
}
