/** Where things are while a benchmark runs. */
import type { SandboxHost } from "../../src/sandbox/host.ts";

/** Where the things of the benchmark lie inside the host, and the repository. On one file system, all of them. */
export const INNER_BENCH = "/var/bench";
export const INNER_REPO = "/sysroot/ostree/repo";

/** Where ostree notes a staged deployment (ostree-admin-deploy(1)). */
export const INNER_OSTREE_RUN = "/run/ostree";

/** The host under measurement. */
export interface BenchHost {
  readonly host: SandboxHost;
  /** `INNER_BENCH`, on this machine. */
  readonly directory: string;
  /** The repository of the host's sysroot, on this machine. */
  readonly repo: string;
  /** Its objects before anything was layered. */
  readonly objects: ReadonlySet<string>;
  readonly base: { readonly ref: string; readonly commit: string };
}
