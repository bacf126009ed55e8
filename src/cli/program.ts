/** The command tree of `apt-ostree`: names, options and help; what a command does is in `commands/`, loaded when it runs. */
import { Command, Option } from "commander";
import { release } from "../release.ts";
import { parseWhole, type Run, transactionId } from "./arguments.ts";
import { addChanges } from "./changes.ts";
import type { Context } from "./context.ts";
import { OK, OUTPUT_CLOSED, SIGNALLED, UNCHANGED, USAGE } from "./exit.ts";
import { addReading } from "./reading.ts";
import { addRemotes } from "./remotes.ts";

/** The description of `compose` in the list of commands; the command itself comes from elsewhere, and only when it is wanted. */
export const COMPOSE_DESCRIPTION = "make and check base trees";

/** The exit statuses and what they mean; `exit.ts` has their names. */
export const EXIT_STATUSES: readonly (readonly [status: number, meaning: string])[] = [
  [OK, "done, also where there was nothing to do"],
  [1, "it failed; the reason is on standard error"],
  [USAGE, "the command line or the request is wrong"],
  [UNCHANGED, "nothing changed (--unchanged-exit-77), or a deployment is pending (--pending-exit-77)"],
  [SIGNALLED.SIGHUP, "left on SIGHUP; the transaction goes on"],
  [SIGNALLED.SIGINT, "cancelled, or left, on Ctrl-C"],
  [OUTPUT_CLOSED, "the reader of standard output went away; the transaction goes on"],
  [SIGNALLED.SIGTERM, "left on SIGTERM; the transaction goes on"],
];

const EXIT_STATUS_HELP = `\nExit status:\n${EXIT_STATUSES.map(([status, meaning]) => `  ${String(status).padStart(3)}  ${meaning}`).join("\n")}`;

/**
 * Builds the tree. `finished` gets the exit status of the command that `parseAsync` ran; `compose` is added where it is given, else a
 * line in the list of commands.
 */
export function makeProgram(context: Context, finished: (status: number) => void, compose?: Command): Command {
  const program = new Command("apt-ostree")
    .description("layer Debian packages onto an OSTree deployment, through the daemon apt-ostreed")
    .addOption(
      new Option("--bus <address>", "D-Bus address of the bus that apt-ostreed is on").env("APT_OSTREE_BUS").default("system", "the system bus"),
    )
    .option("-q, --quiet", "print no progress and no results, only errors")
    .version(release(), "--version", "print the version")
    .helpOption("-h, --help", "print help for a command")
    .helpCommand("help [command]", "print help for a command")
    .addHelpText("after", EXIT_STATUS_HELP)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      getOutHelpWidth: () => context.stdout.columns(),
      getErrHelpWidth: () => context.stderr.columns(),
      getOutHasColors: () => context.stdout.colour,
      getErrHasColors: () => context.stderr.colour,
    });
  const run: Run = (command, action) => {
    const { bus, quiet } = command.optsWithGlobals<{ bus: string; quiet?: boolean }>();
    return action({ bus, quiet: quiet === true }).then(finished);
  };
  addStatus(program, context, run);
  addChanges(program, context, run);
  addTransactions(program, context, run);
  addReading(program, context, run);
  addRemotes(program, context, run);
  addInsights(program, context, run);
  if (compose === undefined) program.command("compose").description(COMPOSE_DESCRIPTION);
  else adopt(program, compose);
  return program;
}

function addStatus(program: Command, context: Context, run: Run): void {
  program
    .command("status")
    .description("show deployments and what is going on")
    .option("--json", "print one JSON document")
    .option("-v, --verbose", "show everything about each deployment")
    .option("-b, --booted", "show the booted deployment only")
    .option("--pending-exit-77", "exit with status 77 if a deployment waits for the next boot")
    .option("--wait", "wait until the deployments have changed; Ctrl-C stops waiting")
    .addOption(
      new Option("--since-epoch <epoch>", "wait until the status is newer than this one; status -v and --json show the epoch")
        .argParser((value) => parseWhole(value, 0, Number.MAX_SAFE_INTEGER))
        .implies({ wait: true }),
    )
    .action((_options, command: Command) =>
      run(command, async (globals) => (await import("./commands/status.ts")).status(context, globals, command.opts())),
    );
}

function addTransactions(program: Command, context: Context, run: Run): void {
  program
    .command("cancel")
    .description("cancel a transaction and wait until it has ended")
    .argument("[id]", "the transaction's id, or as much of its start as is unambiguous; by default the only active one of yours")
    .action((given: string | undefined, _options, command: Command) =>
      run(command, async (globals) => (await import("./commands/cancel.ts")).cancel(context, globals, given)),
    );
  const group = program.command("transactions").description("show what ran and what runs");
  group
    .command("list", { isDefault: true })
    .description("list the newest transactions, newest first")
    .option("--json", "print a JSON array")
    .addOption(new Option("-n, --limit <count>", "how many").argParser((value) => parseWhole(value, 1, 1000)).default(20))
    .action((options: { json?: boolean; limit: number }, command: Command) =>
      run(command, async (globals) => (await import("./commands/transactions.ts")).list(context, globals, options)),
    );
  group
    .command("show")
    .description("show a transaction with its result and messages")
    .addArgument(transactionId())
    .option("--json", "print one JSON document")
    .action((given: string, options: { json?: boolean }, command: Command) =>
      run(command, async (globals) => (await import("./commands/transactions.ts")).show(context, globals, given, options)),
    );
  group
    .command("follow")
    .description("follow a transaction from its first message to its end; Ctrl-C stops the following only")
    .addArgument(transactionId())
    .option("--json", 'print one JSON object a line: every event, the last one being "finished"')
    .action((given: string, options: { json?: boolean }, command: Command) =>
      run(command, async (globals) => (await import("./commands/transactions.ts")).attach(context, globals, given, options)),
    );
}

function addInsights(program: Command, context: Context, run: Run): void {
  program
    .command("metrics")
    .description("print what the daemon has measured of itself, for Prometheus")
    .action((_options, command: Command) => run(command, async (globals) => (await import("./commands/metrics.ts")).metrics(context, globals)));
  program
    .command("debug")
    .description("look into the daemon")
    .command("locks")
    .description("show who holds and who waits for which locks, and check their history; exits with status 1 if a rule was broken")
    .option("--json", "print one JSON document")
    .action((options: { json?: boolean }, command: Command) =>
      run(command, async (globals) => (await import("./commands/debug.ts")).locks(context, globals, options)),
    );
}

/** Adds a command that was made elsewhere, so that it and all below it write, exit and print help as the others do. */
function adopt(program: Command, command: Command): void {
  const inherit = (parent: Command, child: Command): void => {
    child.copyInheritedSettings(parent);
    for (const grandchild of child.commands) inherit(child, grandchild);
  };
  inherit(program, command);
  program.addCommand(command);
}
