/**
 * The tree that is assembled: an overlay over the base, entered through bubblewrap. The mounts live in a mount namespace of
 * the child and end with it, so a killed daemon leaves none. With other overlayfs options than these, unrelated files were seen
 * to change (index=on), and directories to lose their contents (redirect_dir, metacopy).
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type ExecOptions, exec } from "../exec.ts";
import { pathInside } from "../inside.ts";
import { bwrapArgs, type SandboxOptions } from "../sandbox.ts";
import type { Confinement } from "./limits.ts";
import { requirePlain } from "./plain.ts";
import type { Workspace } from "./workspace.ts";

/** The directories of one assembly. */
export interface WorkTree {
  /** What the overlay collects: the layer. */
  readonly upper: string;
  readonly overlayWork: string;
  readonly merged: string;
  /** A lower layer below the base: what scripts find in the tree where the base has nothing there, and what is not in the layer. */
  readonly below: string;
  /** The private `/var` of the scripts. */
  readonly var: string;
  /** The private `/boot`. */
  readonly boot: string;
  /** Programs that stand in for others: see `stubs.ts`. */
  readonly stubs: string;
}

/** The directories of the assembly in a work directory. */
export function workTree(directory: string): WorkTree {
  return {
    upper: join(directory, "upper"),
    overlayWork: join(directory, "overlay"),
    merged: join(directory, "merged"),
    below: join(directory, "below"),
    var: join(directory, "var"),
    boot: join(directory, "boot"),
    stubs: join(directory, "stubs"),
  };
}

/** Makes the directories. */
export async function makeWorkTree(workspace: Workspace): Promise<void> {
  for (const directory of Object.values(workTree(workspace.directory))) await mkdir(directory, { recursive: true, mode: 0o755 });
}

/** Where a tree is assembled, and within which bounds. */
export interface Assembly {
  readonly workspace: Workspace;
  /** The checkout that the overlay lies over. */
  readonly baseTree: string;
  readonly confinement: Confinement;
  /** SOURCE_DATE_EPOCH, seconds: the base commit's time, so that the same plan gives the same tree. */
  readonly sourceDateEpochS: number;
  readonly signal: AbortSignal;
  /** Each command is ended after this time. */
  readonly timeoutMs: number;
}

/** A command in the tree. */
export interface TreeCommand extends Omit<SandboxOptions, "root"> {
  /** bwrap arguments beyond the tree, its /etc and empty /run, /tmp and /sys. */
  readonly binds: readonly string[];
  readonly command: readonly string[];
  readonly onStatusLine?: ExecOptions["onStatusLine"];
}

/**
 * Runs a command in the tree, as often as need be. Throws LayerInvalid where an earlier one left no directory to be `/etc` and
 * where this one leaves what no layer can hold, and what `exec` throws, after every process of the sandbox is gone.
 */
export async function runInTree(assembly: Assembly, { binds, command, onStatusLine, ...options }: TreeCommand): Promise<void> {
  const { workspace, baseTree, confinement, signal, timeoutMs } = assembly;
  await pathInside(workTree(workspace.directory).upper, "usr/etc/any");
  const tree = workTree(workspace.insideDirectory);
  const lower = `${baseTree}:${tree.below}`;
  const overlay = `lowerdir=${lower},upperdir=${tree.upper},workdir=${tree.overlayWork},volatile,index=off,metacopy=off,redirect_dir=off`;
  const root = [
    ...["--bind", tree.merged, "/"],
    ...["/run", "/tmp", "/sys"].flatMap((path) => ["--perms", path === "/tmp" ? "1777" : "0755", "--size", TMPFS_BYTES, "--tmpfs", path]),
    ...binds,
  ];
  const mounts = [...NAMESPACES, "--", "sh", "-c", MOUNT_SCRIPT, "mount", overlay, tree.overlayWork, tree.merged];
  const env = { LC_ALL: "C.UTF-8", HOME: "/root", SOURCE_DATE_EPOCH: String(assembly.sourceDateEpochS), ...options.env };
  const sandbox = bwrapArgs({ ...options, root, env }, command);
  const [program = "", ...args] = [...confinement.enter, ...workspace.enter, ...mounts, "bwrap", ...sandbox];
  const onStart = (pid: number): void => confinement.onStart(pid);
  await exec(program, args, { signal, timeoutMs, onStart, ...(onStatusLine === undefined ? {} : { onStatusLine }) });
  await requirePlain(workTree(workspace.directory));
}

/**
 * bwrap(1) ends before the processes in its sandbox do. The one that waits for the first process of a pid namespace sees its end once all
 * others have gone (pid_namespaces(7)); where KILL had to end it, too, they go within moments, and closing a control group waits for them. In
 * a /proc with other numbers bwrap would not find the process that it starts.
 */
const NAMESPACES = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"];

/** What is mounted on, and what is mounted there. */
const MOUNT_POINTS = "usr usr/etc boot dev etc proc run sys tmp var";

/**
 * Outside the sandbox, in the new mount namespace: the overlay, and `/etc` in it. A link that scripts left would lead these mounts, and
 * those of bwrap, which resolves the source of a bind on the host, out of the tree. A volatile overlay that was mounted before has
 * left a mark in its work directory against being mounted again after a crash; there was none.
 */
const MOUNT_SCRIPT = `set -e; rm -rf "$2/work"; mount -t overlay overlay -o "$1" "$3"
for path in ${MOUNT_POINTS}; do if [ -L "$3/$path" ]; then echo "/$path is a link" >&2; exit 1; fi; done
mkdir -p "$3/etc"; mount --bind "$3/usr/etc" "$3/etc"; shift 3; exec "$@"`;

/** What scripts may put into each of the file systems that are thrown away. */
const TMPFS_BYTES = String(1024 * 1024 * 1024);
