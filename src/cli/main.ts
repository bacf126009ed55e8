/** One run of the command line, from its arguments to its exit status. */
import { type Command, CommanderError } from "commander";
import type { Context } from "./context.ts";
import { OK, showThrown, USAGE } from "./exit.ts";
import { makeProgram } from "./program.ts";

/** Runs `apt-ostree` with the arguments after the program's name. Never rejects: what goes wrong is shown, and in the exit status. */
export async function main(args: readonly string[], context: Context, compose?: Command): Promise<number> {
  let status = OK;
  const program = makeProgram(
    context,
    (ended) => {
      status = ended;
    },
    compose,
  );
  try {
    await program.parseAsync(args, { from: "user" });
    return status;
  } catch (thrown) {
    // Commander has already printed what it throws: help and version, which end well, and errors of usage.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? OK : USAGE;
    return showThrown(context, thrown);
  }
}
