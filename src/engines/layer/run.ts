/**
 * Running the tree's own apt and dpkg on an overlay over the base. The mounts live in a mount namespace of the child and end
 * with it, so a killed daemon leaves none. With other overlayfs options than these, unrelated files were seen to change
 * (index=on), and directories to lose their contents (redirect_dir, metacopy).
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { aptOptions, COMMON_CONFIG, INSIDE, INSTALL_CONFIG } from "../apt/config.ts";
import type { AptWords } from "../apt/words.ts";
import { ExecError, exec, lastLines } from "../exec.ts";
import { bwrapArgs, INSTALL_CAPABILITIES } from "../sandbox.ts";
import type { Workspace } from "./workspace.ts";

/** The directories of one assembly. */
export interface WorkTree {
  /** What the overlay collects: the layer. */
  readonly upper: string;
  readonly overlayWork: string;
  readonly merged: string;
  /** The private `/var` of the scripts. */
  readonly var: string;
  /** The private `/boot`; must stay empty. */
  readonly boot: string;
}

/** The directories of the assembly in a work directory. */
export function workTree(directory: string): WorkTree {
  return {
    upper: join(directory, "upper"),
    overlayWork: join(directory, "overlay"),
    merged: join(directory, "merged"),
    var: join(directory, "var"),
    boot: join(directory, "boot"),
  };
}

/** What an installation needs. */
export interface InstallOptions {
  readonly workspace: Workspace;
  readonly baseTree: string;
  readonly runningEtc: string;
  readonly lists: string;
  readonly archives: string;
  readonly aptCache: string;
  /** Where local packages are kept. */
  readonly locals: string;
  /** What apt is to do; its options are also those that decide what the packages bring, as they were when it was planned. */
  readonly words: AptWords;
  /** Architectures of what is unpacked: those that the base's dpkg does not know yet are added to it. */
  readonly architectures: readonly string[];
  /** Answers for debconf-set-selections(1), given before anything is unpacked; may be empty. */
  readonly answers: string;
  /** SOURCE_DATE_EPOCH, seconds: the base commit's time, so that the same plan gives the same tree. */
  readonly sourceDateEpochS: number;
  readonly signal: AbortSignal;
  /** The whole installation is ended after this time. */
  readonly timeoutMs: number;
  /** Percent from 0 to 100 and what is being done, from apt's status lines. */
  readonly onProgress: (percent: number, text: string) => void;
  /** How many archives there are to unpack, and what to call when they all are. */
  readonly archiveCount: number;
  readonly onUnpacked: () => void;
}

/**
 * Installs packages. The work tree is made here. Throws ScriptFailed (naming the package where apt names it), Timeout, NoSpace
 * or Cancelled, in each case after every process of the sandbox is gone.
 */
export async function installPackages(options: InstallOptions): Promise<void> {
  for (const directory of Object.values(workTree(options.workspace.directory))) await mkdir(directory, { recursive: true, mode: 0o755 });
  // For the programs that apt starts: apt-extracttemplates would build caches of its own for half a second otherwise.
  await writeFile(join(options.workspace.directory, CONFIG_FILE), COMMON_CONFIG.map(([option, value]) => `${option} "${value}";\n`).join(""));
  await writeFile(join(options.workspace.directory, ANSWERS_FILE), options.answers, { mode: 0o600 });
  const command = bwrapArgs(
    {
      network: false,
      capabilities: INSTALL_CAPABILITIES,
      env: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        LC_ALL: "C.UTF-8",
        HOME: "/root",
        DEBIAN_FRONTEND: "noninteractive",
        DEBCONF_NONINTERACTIVE_SEEN: "true",
        SYSTEMD_OFFLINE: "1",
        APT_CONFIG: INSIDE.config,
        SOURCE_DATE_EPOCH: String(options.sourceDateEpochS),
      },
      root: rootArgs(options),
    },
    [
      "sh",
      "-c",
      INSIDE_SCRIPT,
      options.architectures.join(" "),
      options.words.verb,
      ...aptOptions([...INSTALL_CONFIG, ...options.words.config]),
      "--",
      ...options.words.words,
    ],
  );
  const tree = workTree(options.workspace.insideDirectory);
  const overlay = `lowerdir=${options.baseTree},upperdir=${tree.upper},workdir=${tree.overlayWork},volatile,index=off,metacopy=off,redirect_dir=off`;
  const failures: string[] = [];
  const status = statusReader(options, failures);
  try {
    const mounts = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", MOUNT_SCRIPT, "mount", overlay, tree.merged];
    const [program = "", ...args] = [...options.workspace.enter, ...mounts, "bwrap", ...command];
    await exec(program, args, {
      signal: options.signal,
      timeoutMs: options.timeoutMs,
      onStatusLine: status,
    });
  } catch (error) {
    if (error instanceof ExecError) throw installError(error, failures);
    if (error instanceof AptOstreeError && error.code === "Timeout") throw timeoutError(options.timeoutMs);
    throw error;
  }
}

/** Outside the sandbox, in the new mount namespace: the overlay, with a place to bind `/etc` on. */
const MOUNT_SCRIPT = 'set -e; mount -t overlay overlay -o "$1" "$2"; mkdir -p "$2/etc"; shift 2; exec "$@"';

const ANSWERS_FILE = "debconf-answers";
const INSIDE_ANSWERS = "/run/apt-ostree/debconf-answers";

/**
 * Inside: `/var` as a first boot would make it (tmpfiles.d(5)), a policy that no service is started (invoke-rc.d(8), taken out
 * of the layer afterwards), the architectures in $0, the answers for debconf, then apt.
 */
const PREPARE_DPKG = 'for a in $0; do [ "$a" = "$(dpkg --print-architecture)" ] || dpkg --add-architecture "$a" || exit; done';
const PREPARE_DEBCONF = `if [ -s ${INSIDE_ANSWERS} ]; then debconf-set-selections ${INSIDE_ANSWERS} || exit; fi`;
const INSIDE_SCRIPT = `systemd-tmpfiles --create --prefix=/var --prefix=/run >/dev/null 2>&1 || true; mkdir -p /run/media /var/lib/apt /var/cache/apt /var/log/apt; printf "#!/bin/sh\\nexit 101\\n" > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; ${PREPARE_DPKG}; ${PREPARE_DEBCONF}; verb=$1; shift; exec apt-get "$verb" -q --no-download "$@"`;

const CONFIG_FILE = "apt.conf";

/** What scripts may put into each of the file systems that are thrown away. */
const TMPFS_BYTES = String(1024 * 1024 * 1024);

function rootArgs(options: InstallOptions): string[] {
  const tree = workTree(options.workspace.insideDirectory);
  return [
    ...["--bind", tree.merged, "/", "--bind", join(tree.merged, "usr/etc"), "/etc"],
    ...["--bind", tree.var, "/var", "--bind", tree.boot, "/boot"],
    ...[
      "--size",
      TMPFS_BYTES,
      "--tmpfs",
      "/run",
      "--perms",
      "1777",
      "--size",
      TMPFS_BYTES,
      "--tmpfs",
      "/tmp",
      "--size",
      TMPFS_BYTES,
      "--tmpfs",
      "/sys",
    ],
    ...["--dir", "/run/apt-ostree/log", "--ro-bind", join(options.runningEtc, "apt"), INSIDE.sources],
    ...["--ro-bind", options.lists, INSIDE.lists, "--ro-bind", options.archives, INSIDE.archives, "--ro-bind", options.aptCache, INSIDE.cache],
    ...["--ro-bind", options.locals, INSIDE.locals],
    ...["--ro-bind", join(options.workspace.insideDirectory, CONFIG_FILE), INSIDE.config],
    ...["--ro-bind", join(options.workspace.insideDirectory, ANSWERS_FILE), INSIDE_ANSWERS],
    // Scripts that care can see that they are assembling an OSTree host.
    ...["--ro-bind", "/dev/null", "/run/ostree-booted"],
  ];
}

/**
 * apt's status lines (apt's README.progress-reporting): "pmstatus:PACKAGE:PERCENT:TEXT", "pmerror:PACKAGE:PERCENT:TEXT". The text
 * of a pmstatus is one of apt's own few, "Unpacking nginx (amd64)" among them.
 */
function statusReader(options: InstallOptions, failures: string[]): (line: string) => void {
  const unpacked = new Set<string>();
  return (line) => {
    const match = /^(pmstatus|pmerror):([^:]*(?::[a-z0-9-]+)?):([0-9.]+):(.*)$/.exec(line);
    if (match === null) return;
    const [, kind, name = "", percent = "0", text = ""] = match;
    if (kind === "pmerror") failures.push(`${name}: ${text}`);
    else options.onProgress(Number(percent), text);
    // The first configuration after the last package was unpacked: nothing is left to unpack then.
    if (text.startsWith("Unpacking ")) unpacked.add(name);
    else if (unpacked.size >= options.archiveCount && text.startsWith("Configuring ")) options.onUnpacked();
  };
}

function installError(error: ExecError, failures: readonly string[]): AptOstreeError {
  const output = `${error.stdout}\n${error.stderr}`;
  const full = /No space left on device/.test(output);
  const said = output
    .split("\n")
    .filter(
      (line) =>
        /^(E:|dpkg: error|dpkg-deb: error| {1,}(old|new|installed) .* (script )?subprocess)/.test(line) ||
        /^Errors were encountered|post-installation script|pre-installation script/.test(line),
    )
    .map((line) => line.trim());
  const reason = [...new Set([...failures, ...said])].slice(0, 6).join("; ") || lastLines(output, 3);
  if (full) return new AptOstreeError("NoSpace", `cannot assemble the tree: the disk is full: ${reason}`, { cause: error });
  if (error.killedBy !== null && reason === "")
    return new AptOstreeError("ScriptFailed", `cannot assemble the tree: the sandbox was ${error.killedBy}`, { cause: error });
  return new AptOstreeError("ScriptFailed", `cannot assemble the tree: ${reason}`, {
    details: { packages: failures.map((failure) => failure.replace(/:.*$/, "")), output: lastLines(output, 40) },
    cause: error,
  });
}

function timeoutError(timeoutMs: number): AptOstreeError {
  return new AptOstreeError("Timeout", `cannot assemble the tree: apt and the maintainer scripts took longer than ${Math.round(timeoutMs / 1000)} s`);
}
