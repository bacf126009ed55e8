/**
 * A booted OSTree host without a virtual machine. Its state is on disk (`layout.ts`) and in the process table (`processes.ts`), none of it
 * in this object: any number of processes may hold a `SandboxHost` of the same directory, and a killed one leaves a sandbox that the next
 * one finds running, or starts again.
 */
import { appendFile, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ExecOptions, type ExecResult, exec } from "../engines/exec.ts";
import { AptOstreeError } from "../model/errors.ts";
import { checkoutRoot, INNER_APP, INNER_BUS, INNER_NODE, INNER_RUN, type Layout, layoutOf } from "./layout.ts";
import { withLock } from "./lock.ts";
import { answers, boot, enter, enterForGood, innerEnvironment, markerOf, spawnDetached, tail } from "./namespace.ts";
import { environmentOf, eventually, findSandbox, isAlive, killNamespace, type SandboxProcesses, signal } from "./processes.ts";
import { createSysroot, defaultDeployment, hasSysroot, removeTree, type SysrootOptions } from "./sysroot.ts";

/** How the daemon is started. */
export interface DaemonOptions {
  /** Added to `--bus ADDRESS --state DIRECTORY`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Keys of its configuration file (src/config.ts); the deployment's own file counts where this is absent. */
  readonly config?: Readonly<Record<string, string | number>>;
  /** How long it may take to own its name. */
  readonly timeoutMs?: number;
}

const DAEMON_NAME = "org.debian.aptostree1";
/** The daemon's state directory, inside. */
export const DAEMON_STATE = "/var/lib/apt-ostree";
const LOCK_TIMEOUT_S = 120;
const DAEMON_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;

/** The sandbox of one directory. */
export class SandboxHost {
  readonly layout: Layout;

  constructor(directory: string) {
    this.layout = layoutOf(directory);
  }

  /** The address of the private bus, for clients on this machine. */
  get bus(): string {
    return this.layout.bus;
  }

  /** Runs something that must not meet another start, stop or reset of this sandbox. Not to be nested. */
  async locked<T>(work: () => Promise<T>): Promise<T> {
    await mkdir(this.layout.directory, { recursive: true });
    return await withLock(this.layout.lock, LOCK_TIMEOUT_S, work);
  }

  /** The processes, or null when it is not running. */
  async processes(): Promise<SandboxProcesses | null> {
    return await findSandbox(markerOf(this.layout));
  }

  async hasSysroot(): Promise<boolean> {
    return await hasSysroot(this.layout.sysroot);
  }

  /** A new sysroot with one deployment of the base, in place of any older one. The sandbox must not be running. */
  async createSysroot(options: Omit<SysrootOptions, "repo"> & { repo?: string }): Promise<void> {
    if ((await this.processes()) !== null)
      throw new AptOstreeError("Busy", `cannot make a sysroot in ${this.layout.directory}: its sandbox is running`);
    await mkdir(this.layout.directory, { recursive: true });
    await createSysroot(this.layout.sysroot, { ...options, repo: options.repo ?? this.layout.repo });
  }

  /** Boots the default deployment, unless the sandbox is running. One that does not answer is started anew. */
  async boot(): Promise<void> {
    const processes = await this.processes();
    if (processes !== null) {
      // Whoever started it may have died half-way; process 1 goes on by itself.
      if (await eventually(() => answers(join(this.layout.run, "bus")), 5000)) return;
      await this.#kill(processes.first);
    }
    try {
      await boot(this.layout);
    } catch (error) {
      await this.powerCut();
      throw error;
    }
  }

  /** The directory of the deployment that is booted now. Throws Unavailable when none is. */
  async bootedDeployment(): Promise<string> {
    const { stdout } = await this.exec("sh", ["-c", "for d in /sysroot/ostree/deploy/*/deploy/*; do [ $d -ef / ] && readlink -f $d; done; true"]);
    return join(this.layout.sysroot, stdout.trim().replace(/^\/sysroot\//, ""));
  }

  /** The directory of the deployment that would boot next if it were now. */
  async defaultDeployment(): Promise<string> {
    return await defaultDeployment(this.layout.sysroot);
  }

  /** Runs a command inside and waits for it; it dies with us. Throws what `exec` throws, and Unavailable when the sandbox is not running. */
  async exec(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<ExecResult> {
    const inner = enter(await this.#first(), command, args);
    return await exec(inner.command, inner.args, { ...options, env: innerEnvironment(options.env) });
  }

  /** The command line by which somebody else (with a terminal, say) can run a command inside, and its environment. */
  async entry(command: string, args: readonly string[] = []): Promise<{ command: string; args: string[]; env: Record<string, string> }> {
    return { ...enter(await this.#first(), command, args), env: innerEnvironment() };
  }

  /**
   * Starts the daemon inside, unless it runs, and waits until it owns its name. Its log goes to `log/daemon.log`. Throws Unavailable with
   * the log's last lines when it ends instead.
   */
  async startDaemon(options: DaemonOptions = {}): Promise<void> {
    const first = await this.#first();
    const found = await this.processes();
    let ended: () => Promise<boolean>;
    const logPath = join(this.layout.log, "daemon.log");
    if (found?.daemon == null) {
      const args = [`${INNER_APP}/dist/src/daemon.js`, "--bus", INNER_BUS, "--state", DAEMON_STATE];
      if (options.config !== undefined) {
        // YAML takes JSON as it is.
        await writeFile(join(this.layout.run, "daemon.yaml"), JSON.stringify(options.config));
        args.push("--config", `${INNER_RUN}/daemon.yaml`);
      }
      args.push(...(options.args ?? []));
      const env = { APT_OSTREE_BUILD: await buildStamp(), NODE_OPTIONS: await unitNodeOptions(), ...options.env };
      const inner = enterForGood(first, INNER_NODE, args);
      await appendFile(logPath, "");
      const child = await spawnDetached(inner.command, inner.args, innerEnvironment(env), logPath, "a");
      ended = async () => child.ended();
    } else {
      const pid = found.daemon;
      ended = async () => !(await isAlive(pid));
    }
    let gone = false;
    const ready = async (): Promise<boolean> => {
      gone = await ended();
      return gone || (await this.#ownsName());
    };
    const inTime = await eventually(ready, options.timeoutMs ?? DAEMON_TIMEOUT_MS);
    if (gone) throw new AptOstreeError("Unavailable", `cannot start apt-ostreed in ${this.layout.directory}: ${await tail(logPath)}`);
    if (!inTime)
      throw new AptOstreeError("Timeout", `cannot start apt-ostreed in ${this.layout.directory}: it does not own its name (see ${logPath})`);
  }

  /** Whether the daemon that runs was built from other sources than those that are built now. */
  async daemonIsOutdated(): Promise<boolean> {
    const daemon = (await this.processes())?.daemon ?? null;
    return daemon !== null && (await environmentOf(daemon, "APT_OSTREE_BUILD")) !== (await buildStamp());
  }

  /** Sends the daemon a signal and waits until it is gone; false when there was none. Throws Timeout when it stays. */
  async killDaemon(name: NodeJS.Signals = "SIGKILL", timeoutMs: number = STOP_TIMEOUT_MS): Promise<boolean> {
    const pid = (await this.processes())?.daemon ?? null;
    if (pid === null) return false;
    signal(pid, name);
    if (!(await eventually(async () => !(await isAlive(pid)), timeoutMs)))
      throw new AptOstreeError("Timeout", `cannot end apt-ostreed in ${this.layout.directory}: process ${pid} is still there after ${name}`);
    return true;
  }

  /** Ends everything, the daemon in an orderly way first. No process and no mount is left; the disk stays. */
  async stop(): Promise<void> {
    if ((await this.processes())?.daemon != null) await this.killDaemon("SIGTERM").catch(ignoreTimeout);
    await this.powerCut();
  }

  /** Ends everything at once, as when the power fails, and what was staged is lost. (The page cache is not.) */
  async powerCut(): Promise<void> {
    const processes = await this.processes();
    if (processes !== null) await this.#kill(processes.first);
    await rm(this.layout.run, { recursive: true, force: true });
  }

  /** Shuts down as systemd would, the staged deployment being finalised, and boots what is the default then. */
  async reboot(daemon: DaemonOptions | null = {}): Promise<void> {
    await this.killDaemon("SIGTERM");
    await this.exec("sh", ["-c", "! [ -e /run/ostree/staged-deployment ] || ostree admin finalize-staged"]);
    await this.powerCut();
    await this.boot();
    if (daemon !== null) await this.startDaemon(daemon);
  }

  /** Adds an apt source (a deb822 stanza, sources.list(5)) to the /etc of the booted deployment, else of the one to boot. */
  async addSource(name: string, stanza: string): Promise<void> {
    const deployment = (await this.processes()) === null ? await this.defaultDeployment() : await this.bootedDeployment();
    const directory = join(deployment, "etc/apt/sources.list.d");
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, `${name}.sources`), stanza);
  }

  /** Removes every apt source from the /etc that `addSource` writes to. */
  async clearSources(): Promise<void> {
    const apt = join((await this.processes()) === null ? await this.defaultDeployment() : await this.bootedDeployment(), "etc/apt");
    await rm(join(apt, "sources.list"), { force: true });
    await rm(join(apt, "sources.list.d"), { recursive: true, force: true });
  }

  /** What programs inside asked of systemd, one line a call. */
  async systemctlCalls(): Promise<string[]> {
    const text = await readFile(join(this.layout.run, "systemctl.log"), "utf8").catch(() => "");
    return text.split("\n").filter((line) => line !== "");
  }

  /** Stops the sandbox and removes its directory with all that is in it. */
  async remove(): Promise<void> {
    await this.stop();
    await removeTree(this.layout.sysroot);
    await removeTree(`${this.layout.sysroot}.new`);
    await rm(this.layout.directory, { recursive: true, force: true });
  }

  async #first(): Promise<number> {
    const processes = await this.processes();
    if (processes === null) throw new AptOstreeError("Unavailable", `cannot enter the sandbox in ${this.layout.directory}: it is not running`);
    return processes.first;
  }

  async #ownsName(): Promise<boolean> {
    const { status } = await this.exec("busctl", [`--address=${INNER_BUS}`, "status", DAEMON_NAME], { okStatuses: [0, 1] });
    return status === 0;
  }

  async #kill(first: number): Promise<void> {
    if (!(await killNamespace(first, STOP_TIMEOUT_MS)))
      throw new AptOstreeError("Timeout", `cannot stop the sandbox in ${this.layout.directory}: some of its processes do not end`);
  }
}

function ignoreTimeout(error: unknown): void {
  if (!(error instanceof AptOstreeError && error.code === "Timeout")) throw error;
}

/** What the build was made from (`setup.sh` writes it); the time of the entry point where it was built by hand. */
async function buildStamp(): Promise<string> {
  const dist = join(checkoutRoot(), "dist");
  const stamp = await readFile(join(dist, ".setup-stamp"), "utf8").catch(() => "");
  return stamp.trim() || String((await stat(join(dist, "src/daemon.js")).catch(() => null))?.mtimeMs ?? 0);
}

/** node's options for the daemon, as its systemd unit sets them. */
async function unitNodeOptions(): Promise<string> {
  const unit = await readFile(join(checkoutRoot(), "systemd/system/apt-ostreed.service"), "utf8");
  return /^Environment="NODE_OPTIONS=(.*)"$/m.exec(unit)?.[1] ?? "";
}
