/** What unfinished work would leave on a host: processes, directories, refs. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxHost } from "../../src/sandbox/host.ts";
import { membersOf } from "../../src/sandbox/processes.ts";

/** Where runs work, below the sysroot. */
export const WORK = "ostree/repo/extensions/apt-ostree/work";
const EARLY_REFS = "ostree/repo/refs/heads/apt-ostree/early";
const LOOKING = /^((setpriv|unshare) .* )?ostree (admin status|show|rev-parse)\b/;

/** A process of a host. */
export interface HostProcess {
  /** As this machine numbers it. */
  readonly pid: number;
  /** Its arguments, with blanks between. */
  readonly argv: string;
}

/**
 * The processes of the host and of the sandboxes in it, but for those that are always there (process 1, the bus and the daemon) and
 * those with which the daemon looks whether somebody else changed the sysroot.
 */
export async function workProcesses(host: SandboxHost): Promise<HostProcess[]> {
  const found = await host.processes();
  if (found === null) return [];
  const working: HostProcess[] = [];
  for (const pid of await withDescendants(await membersOf(found.first))) {
    const argv = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0").join(" ").trim();
    // A child of the daemon has its arguments until it has become another program.
    const isStanding = pid === found.first || argv === "" || /^dbus-daemon |\/dist\/src\/daemon\.js /.test(argv);
    if (!isStanding && !LOOKING.test(argv)) working.push({ pid, argv });
  }
  return working;
}

/** What unfinished work left on disk; a part of an archive may stay in `archives/partial`, to be resumed. */
export async function leftoversOn({ layout }: SandboxHost): Promise<string[]> {
  const { sysroot, stateVar } = layout;
  const list = async (path: string, pattern: RegExp): Promise<string[]> =>
    (await readdir(path).catch(() => [])).filter((name) => pattern.test(name)).map((name) => join(path, name));
  return [
    ...(await list(join(sysroot, WORK), /./)),
    ...(await list(join(sysroot, WORK, "../base"), /\.new$/)),
    ...(await list(join(sysroot, EARLY_REFS), /./)),
    ...(await list(join(stateVar, "lib/apt-ostree/lists"), /^(new|link)-/)),
    ...(await list(join(stateVar, "lib/apt-ostree/aptcache"), /^new-/)),
    ...(await list(join(stateVar, "lib/apt-ostree/tmp"), /./)),
  ];
}

/** Processes and their children, and theirs, as far as they can be seen from here: those of nested namespaces too. */
export async function withDescendants(pids: readonly number[]): Promise<number[]> {
  const children = new Map<number, number[]>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    // The second field is a name in parentheses, which may hold blanks and parentheses (proc_pid_stat(5)).
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = new Set<number>();
  const visit = (pid: number): void => {
    if (found.has(pid)) return;
    found.add(pid);
    for (const child of children.get(pid) ?? []) visit(child);
  };
  for (const pid of pids) visit(pid);
  return [...found];
}
