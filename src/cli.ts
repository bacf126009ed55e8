#!/usr/bin/env node
/** `apt-ostree`, the command line: a client of apt-ostreed. */
import { OUTPUT_CLOSED } from "./cli/exit.ts";
import { hostContext } from "./cli/host.ts";
import { main } from "./cli/main.ts";

for (const stream of [process.stdout, process.stderr]) {
  // A reader that has seen enough (head(1)) is no error; the transaction, if there is one, belongs to the daemon.
  stream.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? OUTPUT_CLOSED : 1));
}

const args = process.argv.slice(2);
const compose = args.includes("compose") ? (await import("./compose/command.ts")).composeCommand() : undefined;
const status = await main(args, hostContext(), compose);
// What is still in the pipe is written out first; then the process ends, whatever a library may have left open.
process.stdout.write("", () => process.exit(status));
