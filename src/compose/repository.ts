/** The repository that trees are committed to, and what is said of a tree in its commit's metadata. */
import { mkdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { DPKG_ADMIN_DIR, listPackages } from "../engines/dpkg.ts";
import { exec } from "../engines/exec.ts";
import { Commits } from "../engines/ostree/commits.ts";
import { ostreeRepo } from "../engines/ostree/ostree.ts";
import { AptOstreeError } from "../model/errors.ts";
import { ignore } from "./files.ts";
import type { Inputs } from "./inputs.ts";
import { TREE_LOCK_FILE } from "./locked.ts";

/** Metadata keys of a composed commit, besides ostree's own (`version`, `ostree.bootable`, `ostree.linux`). All values are strings. */
export const COMPOSE_METADATA = {
  /** JSON array of "NAME=VERSION:ARCHITECTURE", sorted; absent where it is too long for a command line. */
  packages: "apt-ostree.packages",
  /** JSON array of "SOURCE=VERSION", sorted; absent where it is too long. */
  sourcePackages: "apt-ostree.source-packages",
  /** Digest of the treefile, what it names, and the composer's policy. */
  treefileDigest: "apt-ostree.treefile-digest",
  /** Digest of that and of the state that the package sources were in. */
  inputDigest: "apt-ostree.input-digest",
  /** JSON array of the treefile's kernel arguments. */
  kargs: "apt-ostree.kargs",
} as const;

/** MAX_ARG_STRLEN of Linux, with room for the option's name. */
const MAX_VALUE_BYTES = 128 * 1024 - 256;

/** Opens a bare repository, made where there is none. Its real path. Throws ConfigInvalid where something else is in the way. */
export async function openRepository(directory: string): Promise<string> {
  const config = await stat(join(directory, "config")).catch(ignore("ENOENT"));
  if (config === undefined) {
    await mkdir(directory, { recursive: true });
    await ostreeRepo({ repo: directory }, `make the repository ${directory}`, ["init", "--mode=bare"]);
  }
  const repo = await realpath(directory);
  const mode = (await ostreeRepo({ repo }, `read the repository ${directory}`, ["config", "get", "core.mode"])).trim();
  if (mode !== "bare")
    throw new AptOstreeError("ConfigInvalid", `cannot compose into ${directory}: its mode is ${mode}, and only bare keeps owners and modes`);
  return repo;
}

/** The commit that a ref stands for, or null. */
export async function commitOf(repo: string, ref: string): Promise<string | null> {
  return await new Commits({ repo }).resolve(ref);
}

/** The lock file of a composed commit, as its tree has it. Throws NotFound for one that was composed without. */
export async function lockFileOf(repo: string, commit: string): Promise<string> {
  try {
    return await ostreeRepo({ repo }, `read the lock file of ${commit}`, ["cat", commit, `/${TREE_LOCK_FILE}`]);
  } catch (error) {
    if (!(error instanceof AptOstreeError)) throw error;
    throw new AptOstreeError("NotFound", `cannot read the lock file of ${commit}: it has none; compose it again with --force`, { cause: error });
  }
}

/** What a commit says of itself. */
export interface CommitOptions {
  readonly inputs: Inputs;
  readonly version: string;
  readonly inputDigest: string;
  readonly epochS: number;
  readonly signal?: AbortSignal;
}

/** Commits a tree, which is used up by it: its files become the repository's. The commit. */
export async function commitTree(repo: string, tree: string, options: CommitOptions): Promise<string> {
  const { inputs } = options;
  const values: [string, string][] = [
    ["version", options.version],
    [COMPOSE_METADATA.treefileDigest, inputs.digest],
    [COMPOSE_METADATA.inputDigest, options.inputDigest],
    [COMPOSE_METADATA.kargs, JSON.stringify(inputs.treefile.kargs)],
    [COMPOSE_METADATA.packages, JSON.stringify(await packagesOf(tree))],
    [COMPOSE_METADATA.sourcePackages, JSON.stringify(await sourcePackagesOf(tree))],
  ];
  const metadata = values
    .filter(([, value]) => Buffer.byteLength(value) < MAX_VALUE_BYTES)
    .map(([key, value]) => `--add-metadata-string=${key}=${value}`);
  const args = ["commit", `--branch=${inputs.ref}`, `--tree=dir=${tree}`, "--bootable", "--consume", `--subject=${inputs.ref} ${options.version}`];
  const stdout = await ostreeRepo(
    { repo },
    `commit ${inputs.ref}`,
    [...args, `--timestamp=@${options.epochS}`, ...metadata],
    options.signal === undefined ? {} : { signal: options.signal },
  );
  return stdout.trim();
}

async function packagesOf(tree: string): Promise<string[]> {
  const packages = await listPackages(join(tree, DPKG_ADMIN_DIR));
  return packages.map(({ name, version, architecture }) => `${name}=${version}:${architecture}`).sort();
}

async function sourcePackagesOf(tree: string): Promise<string[]> {
  const { stdout } = await exec("dpkg-query", [`--admindir=${join(tree, DPKG_ADMIN_DIR)}`, "-W", "-f", "${source:Package}=${source:Version}\\n"]);
  return [...new Set(stdout.split("\n").filter((line) => line !== ""))].sort();
}
