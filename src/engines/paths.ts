/** Where everything is: one value that all engines share. */
import { realpath } from "node:fs/promises";
import { join } from "node:path";

/** Absolute directories; `work` and `bases` are on the repository's file system, so that checkouts can be hardlinks. */
export interface Paths {
  /** The sysroot as ostree takes it: "/" on a booted host, else a directory. */
  readonly sysroot: string;
  /** The repository, with links resolved (overlayfs takes only real paths). */
  readonly repo: string;
  /** One work tree for each running assembly, by run id. In the repository's `extensions`, which ostree never collects. */
  readonly work: string;
  /** Pristine hardlink checkouts of base commits, by commit: read, mounted as lower layer, never written. */
  readonly bases: string;
  /** The daemon's own state: journal, package lists, archives. */
  readonly state: string;
  /** Generations of package lists, by number, and the link `current`. */
  readonly lists: string;
  /** apt's archives directory, shared by every run. */
  readonly archives: string;
  /** Local packages that requests named, by content hash: `HASH.deb`. */
  readonly locals: string;
  /** The numbers that accounts of packages keep (`pins.ts`). */
  readonly pins: string;
  /** Files of a moment. */
  readonly tmp: string;
  /** apt's binary caches (pkgcache.bin), kept warm between plans, by generation of the lists. */
  readonly aptCache: string;
}

/** Resolves the directories of a sysroot and a state directory. */
export async function resolvePaths(sysroot: string, state: string): Promise<Paths> {
  const repo = await realpath(join(sysroot, "ostree/repo"));
  const extensions = join(repo, "extensions/apt-ostree");
  return {
    sysroot,
    repo,
    work: join(extensions, "work"),
    bases: join(extensions, "base"),
    state,
    lists: join(state, "lists"),
    archives: join(state, "archives"),
    aptCache: join(state, "aptcache"),
    locals: join(state, "locals"),
    pins: join(state, "accounts.json"),
    tmp: join(state, "tmp"),
  };
}

/** The directory of a deployment. */
export function deploymentDir(paths: Paths, deployment: { stateroot: string; commit: string; serial: number }): string {
  return join(paths.repo, "../deploy", deployment.stateroot, "deploy", `${deployment.commit}.${deployment.serial}`);
}
