/**
 * Control groups (cgroups(7)): what a group of processes may use together, and a sure way to end all of them. Works with the
 * unified hierarchy where it has the controllers and we may make groups there, and with the older ones. The groups are made below
 * the daemon's own, so whoever limits the daemon limits them.
 */
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** What the processes of a group may use together. */
export interface GroupLimits {
  readonly memoryBytes: number;
  /** Processes and threads at once. */
  readonly processes: number;
}

/** The limit that was run into. */
export type Limit = "memory" | "processes";

/** A control group. */
export interface ControlGroup {
  /** Put before a command that is to run in it. */
  readonly enter: readonly string[];
  /** The limits that were run into since it was made. */
  exceeded(): Promise<Limit[]>;
  /** Ends what is in it and removes it. */
  close(): Promise<void>;
}

const CONTROLLERS = ["memory", "pids"] as const;
type Controller = (typeof CONTROLLERS)[number];

/** A directory in which groups can be made, and what they can limit. */
interface Hierarchy {
  readonly parent: string;
  readonly unified: boolean;
  readonly controllers: readonly Controller[];
}

/** Makes a group. Null where the system lets us make none that has both limits. */
export async function openControlGroup(name: string, limits: GroupLimits): Promise<ControlGroup | null> {
  const found = await hierarchies();
  if (!CONTROLLERS.every((controller) => found.some(({ controllers }) => controllers.includes(controller)))) return null;
  try {
    for (const hierarchy of found) await makeGroup(hierarchy, name, limits);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    await removeControlGroup(name);
    return null;
  }
  const directories = found.map(({ parent }) => join(parent, name));
  const enter = ["sh", "-c", ENTER_SCRIPT, "enter", ...directories.map((directory) => join(directory, "cgroup.procs")), "--"];
  return { enter, exceeded: () => exceededIn(found, name), close: () => removeControlGroup(name) };
}

/**
 * Makes room for groups below our own; nothing where that is refused. To be called before there is any child, which would stay in the
 * group that is to have groups in it: systemd before version 254 does not know `DelegateSubgroup=`.
 */
export async function prepareControlGroups(): Promise<void> {
  for (const { parent, unified, controllers } of await hierarchies()) {
    const refused = unified ? await delegate(parent, controllers).catch((error: unknown) => error) : undefined;
    if (refused !== undefined && !isRefusal(refused)) throw refused;
  }
}

/** Ends every process in the groups of a name and removes them; nothing where there are none. */
export async function removeControlGroup(name: string): Promise<void> {
  for (const { parent } of await hierarchies()) await removeGroup(join(parent, name));
}

/** The shell enters the groups, and becomes the command. */
const ENTER_SCRIPT = 'set -e; while [ "$1" != -- ]; do echo $$ >"$1"; shift; done; shift; exec "$@"';

/** What writing to a file says that a group has not: none can be made there. */
const NO_SUCH_FILE = ["ENOENT", "EACCES", "EPERM"];

async function makeGroup({ parent, unified, controllers }: Hierarchy, name: string, limits: GroupLimits): Promise<void> {
  const directory = join(parent, name);
  if (unified) await delegate(parent, controllers);
  await mkdir(directory).catch(pass("EEXIST"));
  const set = (file: string, value: number): Promise<void> => writeFile(join(directory, file), String(value));
  if (controllers.includes("pids")) await set("pids.max", limits.processes);
  if (!controllers.includes("memory")) return;
  if (unified) {
    await set("memory.max", limits.memoryBytes);
    await set("memory.swap.max", 0).catch(pass(...NO_SUCH_FILE));
  } else {
    await set("memory.limit_in_bytes", limits.memoryBytes);
    // Memory and swap together; not there where the kernel does not account for swap.
    await set("memory.memsw.limit_in_bytes", limits.memoryBytes).catch(pass(...NO_SUCH_FILE));
  }
}

/** Where the daemon moves to when its own group must have groups in it; as `DelegateSubgroup=` of its unit says (systemd.resource-control(5)). */
const OWN_SUBGROUP = "daemon";

/**
 * Of the unified hierarchy, a group either holds processes or gives controllers to groups in it. Where others than ourselves are in the
 * way, we go back to them.
 */
async function delegate(parent: string, controllers: readonly Controller[]): Promise<void> {
  const give = (): Promise<void> => writeFile(join(parent, "cgroup.subtree_control"), controllers.map((controller) => `+${controller}`).join(" "));
  const moveTo = (directory: string): Promise<void> => writeFile(join(directory, "cgroup.procs"), String(process.pid));
  const own = join(parent, OWN_SUBGROUP);
  const refused = await give().catch((error: NodeJS.ErrnoException) => error);
  if (refused === undefined) return;
  if (refused.code !== "EBUSY") throw refused;
  await mkdir(own).catch(pass("EEXIST"));
  await moveTo(own);
  try {
    await give();
  } catch (error) {
    await moveTo(parent);
    await rmdir(own).catch(pass("EBUSY"));
    throw error;
  }
}

/** What the kernel counted: "max" of pids.events, "oom_kill" of memory.events or memory.oom_control. */
async function exceededIn(found: readonly Hierarchy[], name: string): Promise<Limit[]> {
  const exceeded: Limit[] = [];
  for (const { parent, unified, controllers } of found) {
    const count = async (file: string, word: string): Promise<number> => {
      const text = await readFile(join(parent, name, file), "utf8").catch(pass("ENOENT"));
      return Number(new RegExp(`^${word} (\\d+)$`, "m").exec(text ?? "")?.[1] ?? 0);
    };
    if (controllers.includes("memory") && (await count(unified ? "memory.events" : "memory.oom_control", "oom_kill")) > 0) exceeded.push("memory");
    if (controllers.includes("pids") && (await count("pids.events", "max")) > 0) exceeded.push("processes");
  }
  return exceeded;
}

const END_TIMEOUT_MS = 10_000;
const RETRY_MS = 20;

/** A group can be removed once nothing is in it; what was killed takes a moment to go. */
async function removeGroup(directory: string): Promise<void> {
  const deadlineMs = performance.now() + END_TIMEOUT_MS;
  for (;;) {
    const error = await rmdir(directory).then(
      () => null,
      (thrown: NodeJS.ErrnoException) => thrown,
    );
    // Of a hierarchy that is mounted read-only rmdir(2) does not say whether there is such a group, and we have made none.
    if (error === null || error.code === "ENOENT" || error.code === "EROFS") return;
    if (error.code !== "EBUSY" || performance.now() > deadlineMs) throw error;
    // Nothing new is born meanwhile.
    await writeFile(join(directory, "pids.max"), "0").catch(pass(...NO_SUCH_FILE));
    for (const pid of await processesIn(directory)) kill(pid);
    await sleep(RETRY_MS);
  }
}

async function processesIn(directory: string): Promise<number[]> {
  const text = await readFile(join(directory, "cgroup.procs"), "utf8").catch(pass("ENOENT", "ENODEV"));
  return (text ?? "")
    .split("\n")
    .map(Number)
    .filter((pid) => pid > 0);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/**
 * Where groups can be made: for each controller the directory of our own group. /proc/self/cgroup (cgroups(7)) has lines
 * "ID:CONTROLLERS:PATH", with no controllers for the unified hierarchy.
 */
async function hierarchies(): Promise<Hierarchy[]> {
  const mounts = await cgroupMounts();
  const own = (await readFile("/proc/self/cgroup", "utf8").catch(() => "")).split("\n").map((line) => /^\d+:([^:]*):(.*)$/.exec(line));
  const found: Hierarchy[] = [];
  for (const match of own) {
    const [, names = "", path = ""] = match ?? [];
    const mount = mounts.find((one) => (names === "" ? one.unified : !one.unified && one.controllers.join() === names));
    if (match === null || mount === undefined) continue;
    const directory = join(mount.directory, path);
    const parent = names === "" && basename(directory) === OWN_SUBGROUP ? dirname(directory) : directory;
    const there = names === "" ? (await readFile(join(parent, "cgroup.controllers"), "utf8").catch(() => "")).trim().split(" ") : names.split(",");
    const controllers = CONTROLLERS.filter((controller) => there.includes(controller));
    if (controllers.length > 0 && (await readdir(parent).catch(() => null)) !== null) found.push({ parent, unified: names === "", controllers });
  }
  return found;
}

/** The mounted hierarchies (proc_pid_mountinfo(5)), those that show their own top only. */
async function cgroupMounts(): Promise<{ directory: string; unified: boolean; controllers: string[] }[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8").catch(() => "")).split("\n");
  return lines.flatMap((line) => {
    const [, root = "", directory = "", type = "", options = ""] = /^\S+ \S+ \S+ (\S+) (\S+) .* - (cgroup2?) \S+ (\S+)$/.exec(line) ?? [];
    if (type === "" || root !== "/") return [];
    const controllers = options.split(",").filter((option) => !["rw", "ro", "xattr"].includes(option) && !option.includes("="));
    return [{ directory, unified: type === "cgroup2", controllers }];
  });
}

/** The system does not let us: mounted read-only, not ours, too deep, or somebody else's processes are in the way. */
function isRefusal(error: unknown): boolean {
  return ["EROFS", "EACCES", "EPERM", "EBUSY", "ENOENT", "EAGAIN", "EINVAL", "ENODEV", "ENOSPC", "EOPNOTSUPP"].includes(
    (error as NodeJS.ErrnoException).code ?? "",
  );
}

/** For `catch`: passes over errors with one of the codes. */
function pass(...codes: string[]): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (!codes.includes(error.code ?? "")) throw error;
  };
}
