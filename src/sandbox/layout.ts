/** Where the parts of a sandbox lie, on this machine and inside. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** Inside the sandbox: what this module's owner shares with it (bus socket, init, stand-ins). */
export const INNER_RUN = "/run/sandbox";
/** Inside the sandbox: this checkout, read-only. */
export const INNER_APP = "/run/apt-ostree/app";
/** Inside the sandbox: the Node that runs the daemon. */
export const INNER_NODE = "/run/apt-ostree/node";
/** The address of the private bus, for programs inside. */
export const INNER_BUS = `unix:path=${INNER_RUN}/bus`;
/** The stateroot of the sandbox. */
export const STATEROOT = "debian";

/** The directories of one sandbox, absolute. */
export interface Layout {
  readonly directory: string;
  /** The repository that the base is composed into, bare. */
  readonly repo: string;
  /** Packages that composing downloaded. */
  readonly archives: string;
  readonly sysroot: string;
  /** Bound on `/run/sandbox`. Not always below `directory`: see `layoutOf`. */
  readonly run: string;
  /** Bound on `/run/sandbox/repos`: apt repositories that tests bring. */
  readonly repos: string;
  readonly log: string;
  readonly lock: string;
  /** The `var` of the stateroot, `/var` inside. */
  readonly stateVar: string;
  /** The address of the private bus, for programs on this machine. */
  readonly bus: string;
}

/** sun_path of unix(7) holds 108 bytes with the final zero. */
const MAX_SOCKET_PATH = 107;

/**
 * The layout of the sandbox in a directory. The run directory moves to `/run` where the bus socket's path would be too long for
 * a socket address or would need escaping in a D-Bus address.
 */
export function layoutOf(directory: string): Layout {
  const root = resolve(directory);
  const near = join(root, "run");
  const plain = /^[A-Za-z0-9_./-]+$/.test(near) && Buffer.byteLength(join(near, "bus")) <= MAX_SOCKET_PATH;
  const run = plain ? near : `/run/apt-ostree-${createHash("sha256").update(root).digest("hex").slice(0, 16)}`;
  const sysroot = join(root, "sysroot");
  return {
    directory: root,
    repo: join(root, "repo"),
    archives: join(root, "archives"),
    sysroot,
    run,
    repos: join(root, "repos"),
    log: join(root, "log"),
    lock: join(root, "lock"),
    stateVar: join(sysroot, "ostree/deploy", STATEROOT, "var"),
    bus: `unix:path=${join(run, "bus")}`,
  };
}

/** The checkout that this program belongs to: the nearest directory upwards with a package.json, from `src` and from `dist` alike. */
export function checkoutRoot(): string {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, "package.json"))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error(`internal error: no package.json above ${import.meta.dirname}`);
    directory = parent;
  }
  return directory;
}
