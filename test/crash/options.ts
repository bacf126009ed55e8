/** What `npm run crash` and `npm run soak` can be told. */
import { Command, InvalidArgumentError, Option } from "commander";

/** What to run. */
export interface CrashOptions {
  readonly seed: number;
  readonly rounds: number;
  /** Instead of random rounds: kill the daemon at every write of its journal. */
  readonly transitions: boolean;
  /** Instead of random rounds: let every write of its journal fail. */
  readonly faults: boolean;
}

/** Reads the command line; ends the program with a message where it is wrong. */
export function readOptions(argv: readonly string[]): CrashOptions {
  const program = new Command("npm run crash --")
    .description("kills the daemon and its children at random moments, and sees whether anything is lost or left behind")
    .addOption(new Option("--seed <n>", "decides everything that is random").argParser(wholeNumber).default(Date.now() % 1_000_000))
    .addOption(new Option("--rounds <n>", "how many rounds").argParser(wholeNumber).default(20))
    .addOption(new Option("--transitions", "instead: kill the daemon at every single commit of its journal, and just before each").default(false))
    .addOption(new Option("--faults", "instead: let every single write and sync of its journal fail").default(false))
    .allowExcessArguments(false);
  return program.parse(argv, { from: "user" }).opts<CrashOptions>();
}

/** How long to soak. */
export interface SoakOptions {
  readonly seed: number;
  readonly minutes: number;
}

/** Reads the command line of `npm run soak`; ends the program with a message where it is wrong. */
export function readSoakOptions(argv: readonly string[]): SoakOptions {
  const program = new Command("npm run soak --")
    .description("keeps the daemon busy, and fails when it comes to hold more and more memory, files, children, mounts or disk")
    .addOption(new Option("--seed <n>", "decides everything that is random").argParser(wholeNumber).default(Date.now() % 1_000_000))
    .addOption(new Option("--minutes <n>", "how long").argParser(wholeNumber).default(10))
    .allowExcessArguments(false);
  return program.parse(argv, { from: "user" }).opts<SoakOptions>();
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("a whole number is needed");
  return Number(text);
}
