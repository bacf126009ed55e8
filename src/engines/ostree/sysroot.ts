/** Reading the sysroot: which deployments there are, from `ostree admin status` and the origin files. */
import { readFile, stat } from "node:fs/promises";
import { AptOstreeError } from "../../model/errors.ts";
import type { Deployment, SysrootSnapshot } from "../../model/sysroot.ts";
import { deploymentDir, type Paths } from "../paths.ts";
import type { Commits } from "./commits.ts";
import { parseOrigin } from "./origin.ts";
import { ostreeAdmin } from "./ostree.ts";

/** One line group of `ostree admin status`. */
export interface StatusEntry {
  readonly stateroot: string;
  readonly commit: string;
  readonly serial: number;
  readonly booted: boolean;
  readonly staged: boolean;
  readonly pinned: boolean;
}

/**
 * Parses `ostree admin status` (ostree has no machine-readable form before 2026): each deployment begins with two characters,
 * "* " for the booted one, then "STATEROOT COMMIT.SERIAL" and perhaps "(staged)", "(pending)" or "(rollback)"; its details
 * are indented further.
 */
export function parseStatus(text: string): StatusEntry[] {
  const entries: StatusEntry[] = [];
  for (const line of text.split("\n")) {
    const head = /^([* ]) (\S+) ([0-9a-f]{64})\.(\d+)(?: \(([^)]*)\))?\s*$/.exec(line);
    if (head !== null) {
      const [, mark, stateroot = "", commit = "", serial = "0", note = ""] = head;
      entries.push({ stateroot, commit, serial: Number(serial), booted: mark === "*", staged: note.includes("staged"), pinned: false });
      continue;
    }
    const last = entries.at(-1);
    if (last !== undefined && /^\s+Pinned: yes/.test(line)) entries[entries.length - 1] = { ...last, pinned: true };
  }
  return entries;
}

/** Reads everything a snapshot holds, save for its number. */
export async function readSysroot(paths: Paths, commits: Commits): Promise<Omit<SysrootSnapshot, "epoch" | "warnings">> {
  const entries = parseStatus(await statusText(paths));
  const bootedIndex = entries.findIndex((entry) => entry.booted);
  const deployments = await Promise.all(entries.map((entry, index) => describe(paths, commits, entry, index, bootedIndex)));
  return { readMs: Date.now(), sysroot: paths.sysroot, booted: await isBooted(paths), deployments };
}

/**
 * Without signatures: `ostree admin status` fails as a whole where one deployment follows a remote with GPG verification and its commit
 * came unsigned, from an installer say; and verifying takes far longer than all the rest. ostree before 2024 has no such option.
 */
async function statusText(paths: Paths): Promise<string> {
  const doing = `read the sysroot ${paths.sysroot}`;
  try {
    return await ostreeAdmin(paths, doing, ["status", "--skip-signatures"]);
  } catch (error) {
    if (!(error instanceof AptOstreeError) || !/Unknown option/.test(error.message)) throw error;
    return await ostreeAdmin(paths, doing, ["status"]);
  }
}

/** Whether the host runs from this sysroot (ostree's own mark, OSTREE_PATH_BOOTED). */
export async function isBooted(paths: Paths): Promise<boolean> {
  if (paths.sysroot !== "/") return false;
  return stat("/run/ostree-booted").then(
    () => true,
    () => false,
  );
}

async function describe(paths: Paths, commits: Commits, entry: StatusEntry, index: number, bootedIndex: number): Promise<Deployment> {
  const facts = await commits.facts(entry.commit);
  const origin = await readOrigin(`${deploymentDir(paths, entry)}.origin`);
  return {
    id: `${entry.stateroot}-${entry.commit}.${entry.serial}`,
    index,
    stateroot: entry.stateroot,
    commit: entry.commit,
    serial: entry.serial,
    version: facts.version,
    timestampS: facts.timestampS,
    booted: entry.booted,
    staged: entry.staged,
    pending: bootedIndex >= 0 && index < bootedIndex,
    rollback: bootedIndex >= 0 && index > bootedIndex,
    pinned: entry.pinned,
    origin: parseOrigin(origin, entry.commit),
    layered: facts.layered,
  };
}

/** A deployment without an origin file follows nothing; any other failure to read it is an error. */
async function readOrigin(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw new AptOstreeError("ConfigInvalid", `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}
