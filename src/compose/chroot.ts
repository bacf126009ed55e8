/** Running the tree's own programs in the tree: bubblewrap, so that mounts and processes end with the call, and no network. */
import { type ExecOptions, type ExecResult, exec } from "../engines/exec.ts";
import { bwrapArgs, INSTALL_CAPABILITIES } from "../engines/sandbox.ts";

/** How a program runs in a tree. */
export interface ChrootOptions extends Pick<ExecOptions, "signal" | "onLine"> {
  readonly epochS: number;
  /** More arguments of bwrap, for example what to bind below `/run`, which is empty and not part of the tree, as is `/tmp`. */
  readonly binds?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly capabilities?: readonly string[];
}

/** Runs a program in a tree that has the shape of a plain Debian. Throws ExecError, Cancelled. */
export async function inTree(tree: string, command: readonly string[], options: ChrootOptions): Promise<ExecResult> {
  const args = bwrapArgs(
    {
      network: false,
      capabilities: [...INSTALL_CAPABILITIES, ...(options.capabilities ?? [])],
      root: ["--bind", tree, "/", "--tmpfs", "/run", "--perms", "1777", "--tmpfs", "/tmp", "--tmpfs", "/sys", ...(options.binds ?? [])],
      env: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        LC_ALL: "C.UTF-8",
        HOME: "/root",
        DEBIAN_FRONTEND: "noninteractive",
        SYSTEMD_OFFLINE: "1",
        SOURCE_DATE_EPOCH: String(options.epochS),
        ...options.env,
      },
    },
    command,
  );
  return await exec("bwrap", args, {
    killAfterMs: 2000,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.onLine === undefined ? {} : { onLine: options.onLine }),
  });
}
