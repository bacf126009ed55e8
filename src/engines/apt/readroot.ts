/** The read-only root for planning and refreshing: a base tree's own apt over package lists and sources bound from outside. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Paths } from "../paths.ts";
import { ACQUIRE_CAPABILITIES, bwrapArgs, type SandboxOptions, USR_LINKS } from "../sandbox.ts";
import { INSIDE } from "./config.ts";

/** What a planning or refreshing sandbox sees. */
export interface ReadRoot {
  /** The base tree (usr, usr/etc), read-only. */
  readonly baseTree: string;
  /** `/etc` of the running system: its sources, keyrings, preferences and, for refreshing, its resolver. */
  readonly runningEtc: string;
  /** A generation of package lists; writable only for refreshing. */
  readonly lists: string;
  /** Where apt keeps its binary caches for these lists and this base. */
  readonly cache: string;
  readonly purpose: "plan" | "refresh";
  /** Where local packages are kept; for planning. */
  readonly locals?: string;
  /** Directories of the running system that are package sources themselves; for refreshing. */
  readonly localSources?: readonly string[];
}

/** bwrap's arguments for a command in such a root. */
export function readRootArgs(root: ReadRoot, command: readonly string[]): string[] {
  const refresh = root.purpose === "refresh";
  const etc = refresh
    ? ["--ro-bind", root.runningEtc, "/etc", "--ro-bind-try", "/run/systemd/resolve", "/run/systemd/resolve"]
    : ["--ro-bind", join(root.baseTree, "usr/etc"), "/etc", "--ro-bind", join(root.runningEtc, "apt"), "/etc/apt"];
  const sandbox: SandboxOptions = {
    network: refresh,
    capabilities: refresh ? ACQUIRE_CAPABILITIES : [],
    env: { PATH: "/usr/sbin:/usr/bin", LC_ALL: "C.UTF-8", TMPDIR: "/tmp" },
    root: [
      ...["--ro-bind", join(root.baseTree, "usr"), "/usr"],
      ...USR_LINKS,
      ...["--tmpfs", "/run", "--tmpfs", "/var", "--perms", "1777", "--tmpfs", "/tmp"],
      ...etc,
      ...["--dir", "/var/lib/apt", "--dir", "/var/cache/apt/archives/partial", "--dir", "/var/log/apt"],
      ...["--ro-bind", join(root.baseTree, "usr/lib/sysimage/dpkg"), "/var/lib/dpkg"],
      ...[refresh ? "--bind" : "--ro-bind", root.lists, INSIDE.lists],
      ...["--bind", root.cache, INSIDE.cache],
      ...(root.locals === undefined ? [] : ["--ro-bind", root.locals, INSIDE.locals]),
      ...(root.localSources ?? []).flatMap((directory) => ["--ro-bind-try", directory, directory]),
    ],
  };
  return bwrapArgs(sandbox, command);
}

/** The name of the directory of apt's binary caches for a generation of lists and a base commit. */
export function aptCacheName(listsGeneration: string, baseCommit: string): string {
  return `${listsGeneration}-${baseCommit.slice(0, 16)}`;
}

/** That directory, made if need be. apt checks its caches by size and time only, which equal dpkg databases of two bases share. */
export async function aptCacheDir(paths: Paths, listsGeneration: string, baseCommit: string): Promise<string> {
  const directory = join(paths.aptCache, aptCacheName(listsGeneration, baseCommit));
  await mkdir(directory, { recursive: true, mode: 0o755 });
  return directory;
}
