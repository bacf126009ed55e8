/**
 * The one bubblewrap command line (bwrap(1)) that all children with a foreign root run under: own pid, ipc, uts, cgroup and,
 * unless asked for, network namespace; capabilities from an allow-list (bwrap run as root keeps them all otherwise); nothing
 * of the host but what is bound here.
 */

/**
 * What dpkg and maintainer scripts need: ownership, modes, other users' files, chroot(2) of dpkg, file capabilities. Not
 * CAP_DAC_READ_SEARCH: with it open_by_handle_at(2) reaches any file of a disk of which anything is bound in.
 */
export const INSTALL_CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETFCAP",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
] as const;

/** What apt needs to drop to its own user and to own its partial directory. */
export const ACQUIRE_CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"] as const;

/** A sandbox, without the command that runs in it. */
export interface SandboxOptions {
  /** bwrap arguments that make the root: binds, links, in order. */
  readonly root: readonly string[];
  readonly network: boolean;
  readonly capabilities: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** The arguments of bwrap for a command: `exec("bwrap", bwrapArgs(options, ["apt-get", …]))`. */
export function bwrapArgs(options: SandboxOptions, command: readonly string[]): string[] {
  return [
    "--die-with-parent",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    ...(options.network ? [] : ["--unshare-net"]),
    "--cap-drop",
    "ALL",
    ...options.capabilities.flatMap((capability) => ["--cap-add", capability]),
    ...options.root,
    "--proc",
    "/proc",
    // The kernel's settings belong to the machine. bwrap covers them only where the directory itself could be written to.
    ...["sys", "sysrq-trigger"].flatMap((name) => ["--ro-bind-try", `/proc/${name}`, `/proc/${name}`]),
    "--dev",
    "/dev",
    "--chdir",
    "/",
    ...Object.entries(options.env).flatMap(([name, value]) => ["--setenv", name, value]),
    "--",
    ...command,
  ];
}

/** The links that a tree in OSTree shape has at its top for merged /usr. */
export const USR_LINKS: readonly string[] = ["bin", "lib", "lib64", "sbin"].flatMap((name) => ["--symlink", `usr/${name}`, `/${name}`]);
