/** The commands that change something: their arguments and options. */
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { MAX_WAIT_TIMEOUT_MS } from "../dbus/wire.ts";
import { type CleanupTarget, canDryRun, type Kind, type OverrideAction, type ResetScope } from "../model/transaction.ts";
import { packagesAndFiles, parseWhole, type Run, transactionId } from "./arguments.ts";
import type { ChangeOptions, ChangeValues } from "./commands/change.ts";
import type { Context } from "./context.ts";

/** A week: `MAX_WAIT_TIMEOUT_MS` of the daemon. */
const MAX_WAIT_SECONDS = MAX_WAIT_TIMEOUT_MS / 1000;

const WHILE_FOLLOWING = `
Ctrl-C cancels the transaction and waits until that is done; a second one leaves at once.
A client that ends otherwise leaves the transaction running.`;

const PACKAGES = "NAME, NAME:ARCH, NAME=VERSION, NAME/SUITE, a pattern of names or TASK^";
const OR_FILES = `${PACKAGES}; or the path or address of a .deb file`;
const IDEMPOTENT = "succeed where the request is already satisfied";
const UNCHANGED = "exit with status 77 if nothing changed";

/** Adds them to the tree. */
export function addChanges(program: Command, context: Context, run: Run): void {
  const change = (kind: Kind, command: Command, values: ChangeValues): Promise<void> =>
    run(command, async (globals) => (await import("./commands/change.ts")).change(context, globals, kind, values, command.opts<ChangeOptions>()));
  const changing = (kind: Kind, parent: Command, name: string, description: string): Command => {
    const command = parent.command(name).description(description);
    addFollowing(command);
    return canDryRun(kind) ? addPlanning(command) : command;
  };
  addLayering(changing, program, change);
  addOverrides(changing, program, change);
  addBases(changing, program, change);
  addUpkeep(changing, program, change);
}

type Changing = (kind: Kind, parent: Command, name: string, description: string) => Command;
type Change = (kind: Kind, command: Command, values: ChangeValues) => Promise<void>;

function addFollowing(command: Command): void {
  command
    .option("--no-follow", "print the transaction's id and exit")
    .option("--json", 'print one JSON object a line: every event, the last one being "finished"')
    .addOption(new Option("--no-wait", "fail at once if it would have to wait for another transaction").conflicts("waitTimeout"))
    .addOption(
      new Option("--wait-timeout <seconds>", "fail if it has waited so long for other transactions").argParser((value) =>
        parseWhole(value, 1, MAX_WAIT_SECONDS),
      ),
    )
    .option("--background", "let the requests that people wait for go first")
    .addHelpText("after", WHILE_FOLLOWING);
}

function addPlanning(command: Command): Command {
  return command
    .option("--unchanged-exit-77", UNCHANGED)
    .addOption(new Option("-n, --dry-run", "only plan, and print what would be done, with the plan's digest").conflicts("plan"))
    .addOption(new Option("--preview", "the same as --dry-run").implies({ dryRun: true }))
    .option("--plan <digest>", "do what a dry run printed, and nothing if that has changed meanwhile")
    .option("--script-network", "let maintainer scripts use the network");
}

function addLayering(changing: Changing, program: Command, change: Change): void {
  changing("install", program, "install", "layer packages onto the base")
    .argument("<package...>", OR_FILES)
    .option("--idempotent", IDEMPOTENT)
    .action((args: string[], options: { idempotent?: boolean }, command: Command) =>
      change("install", command, { ...packagesAndFiles(args, resolve), idempotent: options.idempotent === true }),
    );
  changing("uninstall", program, "uninstall", "remove packages that were layered by request")
    .alias("remove")
    .argument("<package...>", PACKAGES)
    .option("--idempotent", IDEMPOTENT)
    .action((packages: string[], options: { idempotent?: boolean }, command: Command) =>
      change("uninstall", command, { packages, idempotent: options.idempotent === true }),
    );
  changing("reinstall", program, "reinstall", "assemble the layer anew, though nothing about it changed")
    .argument("[package...]", "packages that must be among the requested ones")
    .action((packages: string[], _options, command: Command) => change("reinstall", command, { packages }));
  changing("upgrade", program, "upgrade", "bring the base and the layered packages to their newest versions")
    .alias("update")
    .action((_options, command: Command) => change("upgrade", command, {}));
}

function addOverrides(changing: Changing, program: Command, change: Change): void {
  const override = program.command("override").description("take packages out of the base, or put others in their place");
  const act = (action: OverrideAction, args: string[], command: Command): Promise<void> =>
    change("override", command, {
      action,
      ...packagesAndFiles(args, resolve),
      idempotent: command.opts<{ idempotent?: boolean }>().idempotent === true,
    });
  changing("override", override, "remove", "take packages out of the base")
    .argument("<package...>", "names of packages of the base")
    .action((args: string[], _options, command: Command) => act("remove", args, command));
  changing("override", override, "replace", "put other versions in the place of packages of the base")
    .argument("<package...>", OR_FILES)
    .action((args: string[], _options, command: Command) => act("replace", args, command));
  changing("override", override, "reset", "have packages of the base back as they were")
    .argument("[package...]", "names of overridden packages")
    .option("-a, --all", "all of them")
    .option("--idempotent", IDEMPOTENT)
    .action((args: string[], options: { all?: boolean }, command: Command) => {
      if (args.length > 0 === (options.all === true)) command.error("error: cannot reset overrides: name packages, or all of them with --all");
      return act("reset", args, command);
    });
  changing("reset", program, "reset", "take back all layered packages and overrides")
    .option("-l, --layers", "the layered packages only")
    .option("-o, --overrides", "the overrides only")
    .action((options: { layers?: boolean; overrides?: boolean }, command: Command) => {
      const scopes = (["layers", "overrides"] as const).filter((scope) => options[scope] === true);
      const action: ResetScope | undefined = scopes.length === 1 ? scopes[0] : undefined;
      return change("reset", command, action === undefined ? {} : { action });
    });
}

function addBases(changing: Changing, program: Command, change: Change): void {
  changing("rebase", program, "rebase", "follow another base, with the same layered packages")
    .argument("[refspec]", "REMOTE:REF, or a local REF; by default the one that is followed")
    .argument("[revision]", "a commit, the start of one, or a version in its history; by default the newest")
    .option("--follow-apt", "from now on bring the base's own packages to apt's newest versions with each change")
    .option("--no-follow-apt", "take the base's packages as they are again")
    .action((refspec: string | undefined, revision: string | undefined, options: { followApt?: boolean }, command: Command) =>
      change("rebase", command, {
        ...(refspec === undefined ? {} : { refspec }),
        ...(revision === undefined ? {} : { revision }),
        ...(options.followApt === undefined ? {} : { followsApt: options.followApt }),
      }),
    );
  changing("deploy", program, "deploy", "deploy a certain version of the base that is followed; the next upgrade goes on from there")
    .argument("<revision>", "a commit, the start of one, or a version in its history")
    .action((revision: string, _options, command: Command) => change("deploy", command, { revision }));
  changing("rollback", program, "rollback", "make the previous deployment the default again").action((_options, command: Command) =>
    change("rollback", command, {}),
  );
  changing("undo", program, "undo", "take back what a transaction changed, and nothing else")
    .addArgument(transactionId())
    .action((undoes: string, _options, command: Command) => change("undo", command, { undoes }));
}

function addUpkeep(changing: Changing, program: Command, change: Change): void {
  changing("refresh", program, "refresh-md", "fetch package lists")
    .alias("makecache")
    .action((_options, command: Command) => change("refresh", command, {}));
  changing("prefetch", program, "prefetch", "download what an install of the packages, or else an upgrade, would need")
    .argument("[package...]", PACKAGES)
    .action((packages: string[], _options, command: Command) => change("prefetch", command, { packages }));
  changing("cleanup", program, "cleanup", "remove what is not needed; at least one option says what")
    .option("-b, --base", "caches and commits that nothing uses")
    .option("-p, --pending", "the pending deployment")
    .option("-r, --rollback", "the rollback deployment")
    .option("-m, --repomd", "downloaded package lists")
    .action((options: Partial<Record<CleanupTarget, boolean>>, command: Command) => {
      const targets = (["base", "pending", "rollback", "repomd"] as const).filter((target) => options[target] === true);
      if (targets.length === 0) command.error("error: cannot clean up: say what, with --base, --pending, --rollback or --repomd");
      return change("cleanup", command, { targets });
    });
}
