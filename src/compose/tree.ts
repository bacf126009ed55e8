/** Composing: a treefile and package sources in, a bootable commit out. */
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ExecError, exec } from "../engines/exec.ts";
import { commitMetadata } from "../engines/ostree/commits.ts";
import { AptOstreeError } from "../model/errors.ts";
import { formatLockFile } from "../model/lockfile.ts";
import { digestOf, type InstalledPackage } from "../model/plan.ts";
import { fillTemplate } from "../model/treefile.ts";
import { bootstrap, simulate } from "./bootstrap.ts";
import { customize, writeSources } from "./customize.ts";
import { writeTreeFile } from "./files.ts";
import { writeGuard } from "./guard.ts";
import { type Inputs, type NamedLock, readInputs, readLock } from "./inputs.ts";
import { makeInitramfs, moveKernel } from "./kernel.ts";
import { requireClean } from "./lint/lint.ts";
import { TREE_LOCK_FILE } from "./locked.ts";
import { type AptSetting, machineSettings } from "./machine.ts";
import { COMPOSE_METADATA, commitOf, commitTree, openRepository } from "./repository.ts";
import { shape } from "./shape.ts";
import { findSources, type Sources } from "./sources.ts";
import { inWorkDirectory } from "./work.ts";

/** Where a compose works, in the repository. */
const WORK_DIRECTORY = "extensions/apt-ostree/compose";

/** The parts of a compose that take time. */
export const STAGES = ["reading the sources", "bootstrapping", "customizing", "making the initramfs", "shaping", "committing"] as const;

/** One of them. */
export type Stage = (typeof STAGES)[number];

/** What a compose reports while it runs. */
export interface ComposeEvent {
  readonly ref: string;
  readonly stage: Stage;
  readonly state: "started" | "running" | "done";
  /** What is being done, while running. */
  readonly text: string;
  /** Since the stage started. */
  readonly tookMs: number;
}

/** How to compose. */
export interface ComposeOptions {
  /** Path of the treefile. */
  readonly treefile: string;
  /** The repository, made where there is none. */
  readonly repo: string;
  /** Addresses to use in place of this machine's own sources; the treefile's own sources are then not used either. */
  readonly mirrors?: readonly string[];
  /** Path of a lock file: install the packages that it names and no others. */
  readonly lockfile?: string;
  /** Keeps downloaded archives for the next compose. */
  readonly cacheDir?: string;
  /** On the repository's file system where it can be; by default inside the repository. */
  readonly workDir?: string;
  /** Compose although the result is there already. */
  readonly force?: boolean;
  /** A result of the same treefile will do, however old: do not ask the sources. */
  readonly cached?: boolean;
  /** The commit's time and SOURCE_DATE_EPOCH, in seconds; by default the lock file's, else that of the environment, else the date of the newest package list. */
  readonly epochS?: number;
  readonly onEvent?: (event: ComposeEvent) => void;
  /** A line of text as each stage starts and ends. */
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** What a compose gives. */
export interface ComposeResult {
  readonly ref: string;
  readonly commit: string;
  readonly version: string;
  /** It was there already, and nothing was done. */
  readonly cached: boolean;
  readonly tookMs: number;
}

/**
 * Composes a tree and commits it, unless the ref has a commit of the same inputs. Needs root. Nothing outside the work directory, the
 * cache and the repository is written; the ref changes at the very end, or not at all. Throws ConfigInvalid for the treefile,
 * LayerInvalid for a tree that could not be deployed, UnknownPackage, VerificationFailed or Conflict for one that cannot be what its
 * lock file says, and what the stages throw.
 */
export async function composeTree(options: ComposeOptions): Promise<ComposeResult> {
  const startMs = Date.now();
  const inputs = await readInputs(options.treefile);
  const lock = options.lockfile === undefined ? null : await readLock(options.lockfile, inputs);
  await requireMachine();
  const repo = await openRepository(resolve(options.repo));
  const done = async (commit: string, cached: boolean): Promise<ComposeResult> => {
    const version = await commitMetadata({ repo }, commit, "version");
    return { ref: inputs.ref, commit, version, cached, tookMs: Date.now() - startMs };
  };
  const previous = options.force === true ? null : await commitOf(repo, inputs.ref);
  if (
    previous !== null &&
    options.cached === true &&
    lock === null &&
    (await commitMetadata({ repo }, previous, COMPOSE_METADATA.treefileDigest)) === inputs.digest
  )
    return await done(previous, true);

  return await inWorkDirectory(resolve(options.workDir ?? join(repo, WORK_DIRECTORY)), async (directory) => {
    const run = stageRunner(inputs.ref, options);
    const { sources, settings } = await run("reading the sources", async () => ({
      sources: await findSources(inputs.treefile, options.mirrors ?? [], directory, options.signal),
      settings: await machineSettings(directory),
    }));
    const inputDigest = digestInputs(inputs, sources, settings, lock);
    if (previous !== null && (await commitMetadata({ repo }, previous, COMPOSE_METADATA.inputDigest)) === inputDigest)
      return await done(previous, true);
    const epochS =
      options.epochS ?? lock?.content.timestampS ?? epochOfEnvironment() ?? Math.max(...sources.releases.map((release) => release.dateS));
    const tree = join(directory, "tree");
    await build(tree, { inputs, sources, settings, lock, epochS, directory, run, options });
    const version = fillTemplate(inputs.treefile.version, { arch: inputs.architectures[0], suite: inputs.treefile.suite, date: dateOf(epochS) });
    const commit = await run("committing", () => commitTree(repo, tree, { inputs, version, inputDigest, epochS, ...signalOf(options) }));
    return await done(commit, false);
  });
}

/** What a compose would install, sorted; nothing is fetched but package lists, and nothing is committed. Throws as `composeTree` does. */
export async function resolveTree(options: Omit<ComposeOptions, "lockfile">): Promise<readonly InstalledPackage[]> {
  const inputs = await readInputs(options.treefile);
  await requireMachine();
  const repo = await openRepository(resolve(options.repo));
  return await inWorkDirectory(resolve(options.workDir ?? join(repo, WORK_DIRECTORY)), async (directory) => {
    const sources = await findSources(inputs.treefile, options.mirrors ?? [], directory, options.signal);
    const settings = await machineSettings(directory);
    const places = { tree: join(directory, "tree"), temp: directory, log: join(directory, "../log"), archives: null };
    const apt = { inputs, sources: sources.stanzas, settings, lock: null, epochS: 0, onText: () => {}, ...signalOf(options) };
    return await simulate({ ...apt, ...places });
  });
}

interface Build {
  readonly inputs: Inputs;
  readonly sources: Sources;
  readonly settings: readonly AptSetting[];
  readonly lock: NamedLock | null;
  readonly epochS: number;
  readonly directory: string;
  readonly run: RunStage;
  readonly options: ComposeOptions;
}

/** Everything up to a tree that can be committed. */
async function build(tree: string, { inputs, sources, settings, lock, epochS, directory, run, options }: Build): Promise<void> {
  const inside = { epochS, ...signalOf(options) };
  const archives = options.cacheDir === undefined ? null : resolve(options.cacheDir);
  const log = join(directory, "../log");
  await writeFile(log, "", { mode: 0o600 });
  const packages = await run("bootstrapping", (onText) =>
    bootstrap({ inputs, sources: sources.stanzas, settings, lock, tree, temp: directory, archives, log, epochS, onText, ...signalOf(options) }),
  );
  await run("customizing", async () => {
    await writeSources(tree, sources.stanzas, settings);
    const suites = lock?.content.suites ?? [...new Set(sources.releases.map((release) => release.suite))];
    await writeTreeFile(tree, TREE_LOCK_FILE, formatLockFile({ architectures: inputs.architectures, suites, timestampS: epochS, packages }));
    await writeGuard(tree);
    await customize(tree, inputs, directory, inside);
  });
  await run("making the initramfs", async () => {
    const version = await moveKernel(tree);
    await makeInitramfs(tree, version, inside);
  });
  await run("shaping", async () => {
    await shape(tree, inputs.treefile.kargs);
    await requireClean(tree);
  });
}

type RunStage = <T>(stage: Stage, work: (onText: (text: string) => void) => Promise<T>) => Promise<T>;

function stageRunner(ref: string, options: ComposeOptions): RunStage {
  return async (stage, work) => {
    const startMs = Date.now();
    const report = (state: ComposeEvent["state"], text: string): void => options.onEvent?.({ ref, stage, state, text, tookMs: Date.now() - startMs });
    report("started", "");
    options.onLine?.(`Composing ${ref}: ${stage}`);
    try {
      options.signal?.throwIfAborted();
      const result = await work((text) => report("running", text));
      report("done", "");
      options.onLine?.(`Composing ${ref}: ${stage} done in ${secondsOf(Date.now() - startMs)}`);
      return result;
    } catch (error) {
      if (options.signal?.aborted !== true) throw error;
      throw new AptOstreeError("Cancelled", `cancelled while ${stage}; nothing was committed`, { cause: error });
    }
  };
}

/** The same digest, the same tree: with a lock file it does not matter what else the sources have. */
function digestInputs(inputs: Inputs, { stanzas, releases }: Sources, settings: readonly AptSetting[], lock: NamedLock | null): string {
  const packages = lock === null ? { releases: releases.map(({ suite, digest }) => ({ suite, digest })) } : { lock: lock.content };
  return digestOf({ treefile: inputs.digest, sources: stanzas, settings, ...packages });
}

/** Fails early, with what is missing, and not in the middle of a compose. */
async function requireMachine(): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new AptOstreeError("NotAuthorized", "cannot compose a tree: it needs root, for the owners and modes of its files");
  const tools = ["mmdebstrap", "bwrap", "ostree", "unshare", "flock", "chattr", "apt-get"];
  try {
    await exec("sh", ["-c", 'for tool; do command -v "$tool" >/dev/null || { echo "$tool"; exit 1; }; done', "require", ...tools]);
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    throw new AptOstreeError("NotFound", `cannot compose a tree: the program ${error.stdout.trim()} is not installed`, { cause: error });
  }
}

/** SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch). */
function epochOfEnvironment(): number | null {
  const value = process.env.SOURCE_DATE_EPOCH ?? "";
  return /^\d{1,12}$/.test(value) ? Number(value) : null;
}

function dateOf(epochS: number): string {
  return new Date(epochS * 1000).toISOString().slice(0, 10).replaceAll("-", "");
}

/** "0.4 s", "41 s". */
export function secondsOf(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

function signalOf(options: ComposeOptions): { signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}
