/** What `npm run fidelity` can be told. */
import { Command, InvalidArgumentError, Option } from "commander";
import { listFile, parseSet, readList } from "./sets.ts";

/** What to compare, and how. */
export interface FidelityOptions {
  /** Each is layered and compared by itself: package names as apt takes them. */
  readonly sets: readonly (readonly string[])[];
  /** Leave the two trees of every set, and the host's disk, for whoever looks for a reason. */
  readonly keep: boolean;
  /** Print every path that differs, however many. */
  readonly all: boolean;
  /** The directory below which trees are made, "" for the host's own. */
  readonly trees: string;
  /** How long each of the two ways may take for one set, milliseconds. */
  readonly timeoutMs: number;
}

/** Reads the command line; ends the program with a message where it is wrong. */
export function readOptions(argv: readonly string[]): FidelityOptions {
  const program = new Command("npm run fidelity --")
    .description("layers packages through the daemon, installs them by plain apt-get in a chroot of the same base, and compares the two trees")
    .argument("[sets...]", "packages, each by itself, or several together as A+B")
    .addOption(new Option("--list <file>", "also every set of a file: one a line, # begins a comment"))
    .addOption(new Option("--short", "also the sets of the short list").default(false))
    .addOption(new Option("--full", "also the sets of the full list").default(false))
    .addOption(new Option("--keep", "leave the trees of every set, and the host's disk").default(false))
    .addOption(new Option("--all", "print every path that differs, however many").default(false))
    .addOption(new Option("--trees <directory>", "where the trees are made: /dev/shm, say, where they fit into memory").default(""))
    .addOption(new Option("--timeout <seconds>", "how long either way may take for one set").argParser(wholeNumber).default(900));
  program.parse(argv, { from: "user" });
  const { list, short, full, keep, all, trees, timeout } = program.opts<{
    list?: string;
    short: boolean;
    full: boolean;
    keep: boolean;
    all: boolean;
    trees: string;
    timeout: number;
  }>();
  const files = [...(short ? [listFile("short")] : []), ...(full ? [listFile("full")] : []), ...(list === undefined ? [] : [list])];
  const sets = [...program.args.map(parseSet), ...files.flatMap(readList)];
  if (sets.length === 0) program.error("error: name packages, or a list: --short, --full, --list FILE");
  return { sets: [...new Map(sets.map((set) => [set.join("+"), set])).values()], keep, all, trees, timeoutMs: timeout * 1000 };
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("a whole number of seconds is needed");
  return Number(text);
}
