/** `apt-ostree compose`: the one command that speaks to no daemon. */
import { writeFile } from "node:fs/promises";
import { Command, InvalidArgumentError, Option } from "commander";
import type { InstalledPackage } from "../model/plan.ts";
import { runLint } from "./lint/command.ts";
import { lockFileOf } from "./repository.ts";
import { type ComposeEvent, type ComposeOptions, composeTree, resolveTree, secondsOf } from "./tree.ts";

interface TreeOptions {
  readonly repo: string;
  readonly mirror: string[];
  readonly cacheDir?: string;
  readonly workdir?: string;
  readonly writeCommitidTo?: string;
  readonly lockfile?: string;
  readonly writeLockfileTo?: string;
  readonly timestamp?: number;
  readonly dryRun?: boolean;
  readonly json: boolean;
  readonly force: boolean;
  readonly cached: boolean;
}

/** The command `compose` with its subcommands, for the command line's program. Actions throw `AptOstreeError`. */
export function composeCommand(): Command {
  const command = new Command("compose").description("make and check base trees");
  command
    .command("tree")
    .description("compose a bootable tree from Debian packages and commit it")
    .argument("<treefile>", "what to compose, a YAML file")
    .requiredOption("--repo <dir>", "ostree repository for the result, made where there is none")
    .option("--mirror <uri>", "get packages from here instead of this machine's own sources (repeatable)", collect, [])
    .option("--cache-dir <dir>", "keep downloaded archives here for the next time")
    .option("--workdir <dir>", "work here instead of inside the repository")
    .option("--write-commitid-to <file>", "write the commit to a file")
    .option("--lockfile <file>", "install the very packages that a lock file names, and no others")
    .option("--write-lockfile-to <file>", "write the packages of the tree with their versions and hashes to a file")
    .option("--timestamp <seconds>", "time of the commit (default: the lock file's, else SOURCE_DATE_EPOCH, else the newest package list's)", seconds)
    .option("--cached", "take what was composed from this treefile before, without asking the sources for news", false)
    .option("--force", "compose even when nothing changed", false)
    .addOption(new Option("-n, --dry-run", "print the packages that would be installed, and compose nothing").conflicts(["lockfile", "cached"]))
    .option("--json", "print events and the result as lines of JSON", false)
    .action((treefile: string, options: TreeOptions) => runTree(treefile, options));
  command
    .command("lint")
    .description("check a composed tree; exits with status 1 if there are errors")
    .argument("<commit>", "a commit, or a ref that stands for one")
    .requiredOption("--repo <dir>", "ostree repository that has it")
    .option("--json", "print one JSON document", false)
    .action((commit: string, options: { repo: string; json: boolean }) => runLint(commit, options));
  return command;
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

function seconds(value: string): number {
  if (!/^\d{1,11}$/.test(value)) throw new InvalidArgumentError("It must be seconds since 1970.");
  return Number(value);
}

async function runTree(treefile: string, options: TreeOptions): Promise<void> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  const report = options.json ? printJson : process.stdout.isTTY ? printLive : printLine;
  const compose: ComposeOptions = {
    treefile,
    repo: options.repo,
    mirrors: options.mirror,
    force: options.force,
    cached: options.cached,
    onEvent: report,
    signal: stop.signal,
    ...(options.cacheDir === undefined ? {} : { cacheDir: options.cacheDir }),
    ...(options.workdir === undefined ? {} : { workDir: options.workdir }),
    ...(options.lockfile === undefined ? {} : { lockfile: options.lockfile }),
    ...(options.timestamp === undefined ? {} : { epochS: options.timestamp }),
  };
  try {
    if (options.dryRun === true) return printPackages(await resolveTree(compose), options.json);
    const result = await composeTree(compose);
    if (options.writeCommitidTo !== undefined) await writeFile(options.writeCommitidTo, `${result.commit}\n`);
    if (options.writeLockfileTo !== undefined) await writeFile(options.writeLockfileTo, await lockFileOf(options.repo, result.commit));
    if (options.json) process.stdout.write(`${JSON.stringify({ event: "result", ...result })}\n`);
    else if (result.cached) process.stdout.write(`${result.ref} is unchanged: ${result.commit} (version ${result.version})\n`);
    else process.stdout.write(`${result.ref} is now ${result.commit} (version ${result.version}), composed in ${secondsOf(result.tookMs)}\n`);
  } catch (error) {
    if (report === printLive) process.stdout.write("\n");
    throw error;
  } finally {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(name, onSignal);
  }
}

/** What `--dry-run` prints. */
function printPackages(packages: readonly InstalledPackage[], json: boolean): void {
  const lines = packages.map(({ name, version, architecture }) => `${name} ${version} ${architecture}`);
  process.stdout.write(json ? `${JSON.stringify({ event: "packages", packages })}\n` : `${[...lines, `${lines.length} packages`].join("\n")}\n`);
}

function printJson(event: ComposeEvent): void {
  process.stdout.write(`${JSON.stringify({ event: "stage", ...event })}\n`);
}

/** Where nobody watches, a line as each stage ends, and one as it starts so that a log shows life. */
function printLine({ ref, stage, state, tookMs }: ComposeEvent): void {
  if (state === "started") process.stdout.write(`Composing ${ref}: ${stage} ...\n`);
  if (state === "done") process.stdout.write(`Composing ${ref}: ${stage} ... done in ${secondsOf(tookMs)}\n`);
}

/** On a terminal, one line a stage, rewritten in place. */
function printLive({ ref, stage, state, text, tookMs }: ComposeEvent): void {
  const tail = state === "done" ? `done in ${secondsOf(tookMs)}\n` : text;
  const line = `Composing ${ref}: ${stage} ... ${tail}`;
  process.stdout.write(`\r\x1b[K${state === "done" ? line : line.slice(0, (process.stdout.columns ?? 80) - 1)}`);
}
