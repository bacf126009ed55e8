/** What commands of the command line share: how they are run, and how their arguments are read. */
import { Argument, type Command, InvalidArgumentError } from "commander";
import type { Globals } from "./context.ts";

/** Runs a command and gives its exit status. */
export type Action = (globals: Globals) => Promise<number>;

/** Runs an action for a command of the tree. */
export type Run = (command: Command, action: Action) => Promise<void>;

/** The argument that names a transaction. */
export function transactionId(): Argument {
  return new Argument("<id>", "the transaction's id, or as much of its start as is unambiguous");
}

/** Gathers the values of an option that may be given several times. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** A whole number of an argument. Throws InvalidArgumentError. */
export function parseWhole(value: string, min: number, max: number): number {
  const whole = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!(whole >= min && whole <= max)) throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
  return whole;
}

/** Whether an argument is a file or an address rather than the name of a package, as apt has it: a path has a slash in front. */
function isFile(argument: string): boolean {
  return /^(\.{0,2}\/|https?:\/\/)/.test(argument) || argument.endsWith(".deb");
}

/** Names apart from files; paths made absolute, as the daemon has a directory of its own. */
export function packagesAndFiles(args: readonly string[], absolute: (path: string) => string): { packages: string[]; files: string[] } {
  const files = args.filter(isFile).map((file) => (/^https?:\/\//.test(file) ? file : absolute(file)));
  return { packages: args.filter((argument) => !isFile(argument)), files };
}
