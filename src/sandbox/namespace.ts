/** Entering and leaving the namespaces of a sandbox: bwrap(1) makes them, nsenter(1) joins them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readdir, readFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { lastLines } from "../engines/exec.ts";
import { AptOstreeError } from "../model/errors.ts";
import { writeNetworkFiles, writeRunFiles } from "./files.ts";
import { checkoutRoot, INNER_APP, INNER_BUS, INNER_NODE, INNER_RUN, type Layout } from "./layout.ts";
import { defaultDeployment } from "./sysroot.ts";

const BOOT_TIMEOUT_MS = 60_000;
const INNER_PATH = `${INNER_RUN}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
const PROXY_VARIABLES = ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"].flatMap((name) => [name, name.toUpperCase()]);

/** The argument by which the sandbox of a directory is found in the process table. */
export function markerOf(layout: Layout): string {
  return `apt-ostree-sandbox:${layout.directory}`;
}

/**
 * Boots the default deployment: it becomes `/`, read-only but for /etc, with the sysroot on /sysroot, the stateroot's var on /var and
 * fresh /run and /tmp. The machine's network is shared. Returns when the bus answers; the sandbox lives on without us.
 */
export async function boot(layout: Layout): Promise<void> {
  const deployment = await defaultDeployment(layout.sysroot);
  await mkdir(layout.log, { recursive: true });
  await mkdir(layout.repos, { recursive: true });
  await writeRunFiles(layout.run);
  await writeNetworkFiles(join(deployment, "etc"));
  const args = [
    ...["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "sandbox", "--cap-add", "ALL"],
    ...["--ro-bind", deployment, "/", "--bind", join(deployment, "etc"), "/etc"],
    ...["--bind", layout.sysroot, "/sysroot", "--bind", join(layout.sysroot, "boot"), "/boot", "--bind", layout.stateVar, "/var"],
    ...["--tmpfs", "/run", "--perms", "1777", "--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev", "--ro-bind", "/sys", "/sys"],
    // For the control groups that the daemon makes below its own.
    ...["--bind-try", "/sys/fs/cgroup", "/sys/fs/cgroup"],
    ...["--bind", layout.run, INNER_RUN, "--bind", layout.repos, `${INNER_RUN}/repos`],
    ...["--ro-bind", join(layout.run, "systemctl"), "/usr/bin/systemctl"],
    ...["--ro-bind", checkoutRoot(), INNER_APP, ...(await nodeArgs(deployment))],
    ...["--chdir", "/", "--setenv", "APT_OSTREE_SANDBOX", markerOf(layout), "--", `${INNER_RUN}/init`],
  ];
  const bootLog = join(layout.log, "boot.log");
  const child = await spawnDetached("bwrap", args, innerEnvironment(), bootLog, "w");
  const deadline = Date.now() + BOOT_TIMEOUT_MS;
  while (!(await answers(join(layout.run, "bus")))) {
    if (child.ended()) throw new AptOstreeError("Unavailable", `cannot boot the sandbox in ${layout.directory}: ${await tail(bootLog)}`);
    if (Date.now() > deadline)
      throw new AptOstreeError("Timeout", `cannot boot the sandbox in ${layout.directory}: its bus did not start in ${BOOT_TIMEOUT_MS / 1000} s`);
    await sleep(20);
  }
}

/** The bus of a sandbox accepts connections. */
export function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket);
    const end = (answer: boolean): void => {
      connection.destroy();
      resolve(answer);
    };
    connection.once("connect", () => end(true)).once("error", () => end(false));
  });
}

/** The command that runs another one inside, in place of `command args`; what it runs dies with it. */
export function enter(first: number, command: string, args: readonly string[]): { command: string; args: string[] } {
  return { command: "nsenter", args: [...nsenterArgs(first), "setpriv", "--pdeathsig", "KILL", "--", command, ...args] };
}

/** As `enter`, for programs that outlive whoever starts them. */
export function enterForGood(first: number, command: string, args: readonly string[]): { command: string; args: string[] } {
  return { command: "nsenter", args: [...nsenterArgs(first), command, ...args] };
}

function nsenterArgs(first: number): string[] {
  return ["--target", String(first), "--mount", "--pid", "--ipc", "--uts", "--"];
}

/** The environment of programs inside: a minimal one, with the machine's proxy settings. */
export function innerEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const proxies: Record<string, string> = {};
  for (const name of PROXY_VARIABLES) {
    const value = process.env[name];
    if (value !== undefined) proxies[name] = value;
  }
  return { PATH: INNER_PATH, LC_ALL: "C.UTF-8", HOME: "/root", APT_OSTREE_BUS: INNER_BUS, ...proxies, ...extra };
}

/** A program that runs on when we end, in a session of its own, its output in a file. */
export async function spawnDetached(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  logPath: string,
  flags: "a" | "w",
): Promise<{ ended(): boolean }> {
  const log = await open(logPath, flags);
  try {
    const child = spawn(command, args, { detached: true, cwd: "/", env: { ...env }, stdio: ["ignore", log.fd, log.fd] });
    let ended = false;
    child.once("exit", () => {
      ended = true;
    });
    await once(child, "spawn");
    child.unref();
    return { ended: () => ended };
  } finally {
    await log.close();
  }
}

/** The last lines of a log file, on one line. */
export async function tail(path: string): Promise<string> {
  return lastLines(await readFile(path, "utf8").catch(() => ""), 3) || `no reason given (see ${path})`;
}

/**
 * The deployment's own Node runs the daemon where the native module fits it: Debian names libnode after the module ABI. Else this
 * machine's Node is lent to the sandbox.
 */
async function nodeArgs(deployment: string): Promise<string[]> {
  const library = `libnode.so.${process.versions.modules}`;
  for (const directory of await readdir(join(deployment, "usr/lib"), { withFileTypes: true })) {
    if (!directory.isDirectory() || !directory.name.includes("-linux-")) continue;
    const names = await readdir(join(deployment, "usr/lib", directory.name));
    if (names.includes(library)) return ["--symlink", "/usr/bin/node", INNER_NODE];
  }
  return ["--ro-bind", process.execPath, INNER_NODE];
}
