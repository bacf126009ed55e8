/** The published state of the sysroot: immutable, numbered, replaced as a whole. Readers never look at the disk. */
import type { InstalledPackage } from "./plan.ts";
import type { TreeState } from "./tree.ts";

/**
 * What the origin file of a deployment says (ostree's `[origin]`, and our `[packages]`, `[overrides]` and `[apt-ostree]` groups).
 * `baseCommit` of a bare base is the deployment's own commit.
 */
export interface Origin extends TreeState {
  /** What was asked for and is not in force: requested packages that the base has, overrides of packages that it has not. */
  readonly inactive: readonly string[];
  /** Key of the layer, empty for a bare base. */
  readonly layerKey: string;
  /** Transaction that made the deployment, empty where none of ours did. */
  readonly transaction: string;
}

/** One deployment, in boot order. */
export interface Deployment {
  /** "STATEROOT-COMMIT.SERIAL", unique in a sysroot. */
  readonly id: string;
  readonly index: number;
  readonly stateroot: string;
  readonly commit: string;
  readonly serial: number;
  readonly version: string;
  /** Seconds since 1970 that the commit carries. */
  readonly timestampS: number;
  readonly booted: boolean;
  /** Written to disk, to be finalised at shutdown. */
  readonly staged: boolean;
  /** Before the booted one in boot order. */
  readonly pending: boolean;
  /** After the booted one in boot order. */
  readonly rollback: boolean;
  readonly pinned: boolean;
  readonly origin: Origin;
  /** Layered packages that dpkg has and the base has not; empty for a bare base. */
  readonly layered: readonly InstalledPackage[];
}

/** Everything `status` shows of the sysroot. */
export interface SysrootSnapshot {
  /** Rises by one with every change, also across restarts of the daemon. */
  readonly epoch: number;
  /** When it was read, milliseconds since 1970. */
  readonly readMs: number;
  readonly sysroot: string;
  /** Whether this host was booted from the sysroot (`/run/ostree-booted`). */
  readonly booted: boolean;
  readonly deployments: readonly Deployment[];
  /** Warnings a person should see: configuration that was not understood, a damaged journal that was set aside. */
  readonly warnings: readonly string[];
}

/** The deployment new ones are made from: the staged or pending one where there is one, so that commands chain. */
export function mergeDeployment(snapshot: Pick<SysrootSnapshot, "deployments">): Deployment | undefined {
  return snapshot.deployments[0];
}

/** The deployment that runs now; none where the sysroot is not the booted one. */
export function bootedDeployment(snapshot: Pick<SysrootSnapshot, "deployments">): Deployment | undefined {
  return snapshot.deployments.find((d) => d.booted);
}
