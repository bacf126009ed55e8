/**
 * What an end-to-end test works with: a booted host with the daemon, a package mirror of its own, the real command line, and a look at
 * everything that a transaction may leave behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { DaemonClient, type DaemonStatus } from "../../src/dbus/client.ts";
import type { ErrorCode } from "../../src/model/errors.ts";
import type { Deployment } from "../../src/model/sysroot.ts";
import type { TransactionView } from "../../src/model/transaction.ts";
import type { DaemonOptions, SandboxHost } from "../../src/sandbox/host.ts";
import { checkoutRoot } from "../../src/sandbox/layout.ts";
import { eventually, signal } from "../../src/sandbox/processes.ts";
import { type DebOptions, makeDeb, makeRepository } from "./debs.ts";
import { makeTestHost, testBase } from "./host.ts";
import { machineState } from "./machine.ts";
import { type Mirror, startMirror } from "./mirror.ts";
import { leftoversOn, WORK, workProcesses } from "./traces.ts";

/** How a command ended. */
export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The fault that `failing` expects: the code on the bus, and words of the message, which is also what the command line prints. */
export interface ExpectedFailure {
  readonly code: ErrorCode;
  readonly message: RegExp;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What must be the same after a transaction that failed. */
export interface State {
  readonly deployments: readonly string[];
  readonly bootEntries: string;
  readonly mounts: string;
  readonly processes: readonly string[];
  readonly workTrees: readonly string[];
}

const LET_GO_EVERY_MS = 100;
const ADMIN_DIR = "usr/lib/sysimage/dpkg";

/** A host, its mirror and its clients. Removed by `close`. */
export class World {
  readonly host: SandboxHost;
  readonly mirror: Mirror;
  readonly #debs: string;
  readonly #repository: string;
  readonly #machine: Awaited<ReturnType<typeof machineState>>;
  readonly #daemon: DaemonOptions;

  private constructor(
    host: SandboxHost,
    mirror: Mirror,
    repository: string,
    machine: Awaited<ReturnType<typeof machineState>>,
    daemon: DaemonOptions,
  ) {
    this.host = host;
    this.mirror = mirror;
    this.#debs = join(host.layout.directory, "debs");
    this.#repository = repository;
    this.#machine = machine;
    this.#daemon = daemon;
  }

  /** Boots a host named `name` whose only package source is an empty mirror, and starts its daemon. */
  static async make(name: string, daemon: DaemonOptions = {}): Promise<World> {
    const machine = await machineState();
    const host = await makeTestHost({ name, noSources: true });
    try {
      const repository = join(host.layout.directory, "mirror");
      const { sourceFor } = await makeRepository(repository, []);
      const mirror = await startMirror(repository);
      await host.addSource("test", sourceFor(mirror.url));
      await host.startDaemon(daemon);
      return new World(host, mirror, repository, machine, daemon);
    } catch (error) {
      await host.remove();
      throw error;
    }
  }

  /** Removes the host and all that belongs to it; the machine must be as it was before. */
  async close(): Promise<void> {
    await this.mirror.close();
    await this.host.remove();
    expect(await machineState(), "a test changed the machine that it runs on").toEqual(this.#machine);
  }

  /** Starts the daemon as `make` did, where none runs. */
  async startDaemon(): Promise<void> {
    await this.host.startDaemon(this.#daemon);
  }

  /** Shuts down and boots what is the default then, with the daemon as `make` started it. */
  async reboot(): Promise<void> {
    await this.host.reboot(this.#daemon);
  }

  /** The mirror holds exactly these packages from now on. The daemon hears of it at the next refresh. */
  async publish(...packages: readonly (DebOptions | string)[]): Promise<void> {
    await rm(this.#debs, { recursive: true, force: true });
    await mkdir(this.#debs, { recursive: true });
    const debs = await Promise.all(packages.map((one) => (typeof one === "string" ? one : makeDeb(this.#debs, one))));
    await makeRepository(this.#repository, debs);
  }

  /** The same, and the daemon's lists are fresh. */
  async offer(...packages: readonly (DebOptions | string)[]): Promise<void> {
    await this.publish(...packages);
    await this.ok("refresh-md");
  }

  /** Publishes a new base under the ref that the deployments follow: the old one and one more file. Its commit. */
  async publishBase(version: string): Promise<string> {
    const { ref } = testBase();
    const script = `set -e; d=$(mktemp -d); mkdir -p $d/usr/share; echo ${version} > $d/usr/share/base-version
      ostree commit --repo=/sysroot/ostree/repo --branch=${ref} --base=${ref} --tree=dir=$d --owner-uid=0 --owner-gid=0 \
        --add-metadata-string=version=${version} --add-metadata=ostree.bootable=true --subject=${version}; rm -r $d`;
    return (await this.host.exec("sh", ["-c", script])).stdout.trim();
  }

  /** Starts the command line as a process of its own. */
  spawnCli(...args: readonly string[]): ChildProcess {
    return spawn(process.execPath, [join(checkoutRoot(), "dist/src/cli.js"), ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env.PATH, LC_ALL: "C.UTF-8", APT_OSTREE_BUS: this.host.bus },
    });
  }

  /** Runs it to its end. */
  async cli(...args: readonly string[]): Promise<Ended> {
    return await endOf(this.spawnCli(...args));
  }

  /** Runs it and expects success; its standard output. */
  async ok(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.cli(...args);
    expect(status, `apt-ostree ${args.join(" ")}\n${stdout}\n${stderr}`).toBe(0);
    return stdout;
  }

  /** Runs it and expects a typed error: on the bus, in the exit status and on standard error; and that nothing has changed. */
  async failing(args: readonly string[], expected: ExpectedFailure, exitStatus = 1): Promise<TransactionView> {
    const before = await this.state();
    const { status, stdout, stderr } = await this.cli(...args);
    expect({ status, stderr }, stdout).toEqual({ status: exitStatus, stderr: expect.stringMatching(expected.message) });
    expect(stderr).toMatch(/^error: cannot /m);
    const transaction = await this.latest();
    expect(transaction.error, stderr).toMatchObject({ code: expected.code, message: expect.stringMatching(expected.message) });
    expect(transaction.error?.message).toMatch(/^cannot /);
    if (expected.details !== undefined) expect(transaction.error?.details).toMatchObject(expected.details);
    expect(transaction.state).toBe("failed");
    await this.expectUnchanged(before);
    return transaction;
  }

  /** Speaks to the daemon over a connection of its own. */
  async withClient<T>(work: (client: DaemonClient) => Promise<T>): Promise<T> {
    const client = await DaemonClient.connect(this.host.bus);
    try {
      return await work(client);
    } finally {
      await client.close();
    }
  }

  async status(): Promise<DaemonStatus> {
    return await this.withClient((client) => client.status());
  }

  async deployments(): Promise<readonly Deployment[]> {
    return (await this.status()).snapshot.deployments;
  }

  /** The newest transaction. */
  async latest(): Promise<TransactionView> {
    const [latest] = await this.withClient((client) => client.transactions(1));
    if (latest === undefined) throw new Error("there is no transaction");
    return latest;
  }

  async submit(kind: string, ...packages: readonly string[]): Promise<string> {
    return await this.withClient((client) => client.submit({ kind, packages, agent: "test" }));
  }

  async transaction(id: string): Promise<TransactionView> {
    return await this.withClient((client) => client.transaction(id));
  }

  /** Waits until a transaction is in one of the states, and gives it. */
  async until(id: string, states: readonly string[], timeoutMs = 120_000): Promise<TransactionView> {
    return await this.withClient(async (client) => {
      let seen = await client.transaction(id);
      const reached = await eventually(async () => {
        seen = await client.transaction(id);
        return states.includes(seen.state) || isEnded(seen);
      }, timeoutMs);
      expect(reached, `${seen.title} is still ${seen.state} (${seen.progress.text}) ${seen.waitingFor}`).toBe(true);
      return seen;
    });
  }

  /** Waits until a transaction has ended. */
  async ended(id: string, timeoutMs = 180_000): Promise<TransactionView> {
    return await this.until(id, [], timeoutMs);
  }

  /** Waits until a process with a text in its arguments runs on the host: a maintainer script's "sleep 4321", say. */
  async untilRuns(text: string, timeoutMs = 120_000): Promise<void> {
    const running = async (): Promise<boolean> => (await this.processes()).some((line) => line.includes(text));
    expect(await eventually(running, timeoutMs), `nothing like ${text} runs`).toBe(true);
  }

  /**
   * What comes of some work, while maintainer scripts that are held up by this "sleep SECONDS || true" are let go on. A package that is
   * layered already is configured again with each new layer, so it may be more than one.
   */
  async lettingGo<T>(text: string, work: Promise<T>): Promise<T> {
    let over = false;
    const done = work.finally(() => {
      over = true;
    });
    const letGo = async (): Promise<void> => {
      while (!over) {
        for (const { pid, argv } of await workProcesses(this.host)) if (argv === text) signal(pid, "SIGTERM");
        await sleep(LET_GO_EVERY_MS);
      }
    };
    const [result] = await Promise.all([done, letGo()]);
    return result;
  }

  /** The directory of a deployment, on this machine. */
  directoryOf(deployment: Pick<Deployment, "stateroot" | "commit" | "serial">): string {
    return join(this.host.layout.sysroot, "ostree/deploy", deployment.stateroot, "deploy", `${deployment.commit}.${deployment.serial}`);
  }

  /** The deployment that the next boot starts, with its directory. */
  async next(): Promise<Deployment & { directory: string }> {
    const [first] = await this.deployments();
    if (first === undefined) throw new Error("there is no deployment");
    return { ...first, directory: this.directoryOf(first) };
  }

  /** dpkg's state of each package of a tree that is named: "ii 1.0". */
  async packagesIn(directory: string, ...names: readonly string[]): Promise<Record<string, string>> {
    const { stdout } = await this.host.exec("dpkg-query", [
      `--admindir=${this.inside(join(directory, ADMIN_DIR))}`,
      "-W",
      "-f",
      "$" + "{Package} $" + "{db:Status-Abbrev}$" + "{Version}\\n",
    ]);
    const all = new Map(stdout.split("\n").map((line) => [line.split(" ")[0] ?? "", line.replace(/^\S+ /, "").replace(/ +/, " ")]));
    return Object.fromEntries(names.map((name) => [name, all.get(name) ?? "absent"]));
  }

  /** The name that a path below the sysroot has on the host. */
  inside(path: string): string {
    return path.replace(this.host.layout.sysroot, "/sysroot");
  }

  /**
   * Every deployment is in order by dpkg's and every object by ostree's own judgement, nothing of a transaction is left, be it a mount,
   * a process or a file, and the machine is as it was.
   */
  async expectSound(): Promise<void> {
    await this.expectClean();
    await this.expectAudited();
    expect(await machineState(), "the machine that the tests run on has changed").toEqual(this.#machine);
    await this.host.exec("ostree", ["fsck", "--repo=/sysroot/ostree/repo", "--quiet"]);
  }

  /** Every deployment is in order by dpkg's judgement. */
  async expectAudited(): Promise<void> {
    for (const deployment of await this.deployments()) {
      const audit = await this.host.exec("dpkg", [`--admindir=${this.inside(join(this.directoryOf(deployment), ADMIN_DIR))}`, "--audit"], {
        okStatuses: [0, 1],
      });
      expect(audit.stdout, `dpkg --audit in ${deployment.id}`).toBe("");
    }
  }

  /** What there is now of what a failed transaction must not change. */
  async state(): Promise<State> {
    const { stdout } = await this.host.exec("ostree", ["admin", "status", "--skip-signatures"]);
    const entries = join(this.host.layout.sysroot, "boot/loader/entries");
    const bootEntries = await Promise.all(
      (await readdir(entries)).sort().map(async (name) => `${name}\n${await readFile(join(entries, name), "utf8")}`),
    );
    const daemon = (await this.host.processes())?.daemon ?? null;
    return {
      deployments: stdout.split("\n").flatMap((line) => /^[* ] \S+ [0-9a-f]{64}\.\d+/.exec(line)?.[0] ?? []),
      bootEntries: bootEntries.join("\n"),
      mounts: daemon === null ? "" : await readFile(`/proc/${daemon}/mountinfo`, "utf8"),
      processes: await this.processes(),
      workTrees: await this.leftovers(),
    };
  }

  /** The old state stands and nothing is left of what was tried. */
  async expectUnchanged(before: State): Promise<void> {
    await this.expectClean();
    expect(await this.state()).toEqual(before);
  }

  /** No work tree, half-made list, mount or child of a transaction is there, and none is under way. */
  async expectClean(): Promise<void> {
    expect((await this.status()).transactions).toEqual([]);
    await this.expectQuiet(30_000);
    expect(await this.leftovers()).toEqual([]);
    const first = (await this.host.processes())?.first;
    expect(await readFile(`/proc/${first}/mountinfo`, "utf8")).not.toContain(WORK);
  }

  /** Nothing works on the host, or soon nothing will: a client that has just been answered may still be on its way out. */
  async expectQuiet(timeoutMs: number): Promise<void> {
    let working: string[] = [];
    const quiet = await eventually(async () => {
      working = await this.processes();
      return working.length === 0;
    }, timeoutMs);
    expect(quiet, `still at work:\n${working.join("\n")}`).toBe(true);
  }

  /** The arguments of the host's processes that work: see `workProcesses`. */
  async processes(): Promise<string[]> {
    return (await workProcesses(this.host)).map(({ argv }) => argv).sort();
  }

  /** What unfinished work would leave on disk. */
  async leftovers(): Promise<string[]> {
    return await leftoversOn(this.host);
  }

  /** Back to the booted base alone and a mirror without faults, whatever the last test left. */
  async reset(): Promise<void> {
    this.mirror.clearFaults();
    if ((await this.host.processes())?.daemon == null) await this.startDaemon();
    const { transactions, snapshot } = await this.status();
    for (const { id } of transactions) {
      await this.cli("cancel", id);
      await this.ended(id);
    }
    const isBare = (one: Deployment | undefined): boolean => one?.booted === true && one.layered.length === 0 && one.origin.requested.length === 0;
    if (snapshot.deployments.length === 1 && isBare(snapshot.deployments[0])) return;
    const booted = snapshot.deployments.find((d) => d.booted);
    if (!isBare(booted)) {
      await this.ok("cleanup", "--pending", "--rollback");
      await this.ok("uninstall", ...(booted?.origin.requested ?? []));
      await this.reboot();
    }
    await this.ok("cleanup", "--pending", "--rollback");
    expect((await this.deployments()).map(isBare)).toEqual([true]);
  }
}

/** Waits for a process that was started with pipes. */
export async function endOf(child: ChildProcess): Promise<Ended> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  const [status] = (await once(child, "close")) as [number | null];
  return { status, stdout, stderr };
}

function isEnded(view: TransactionView): boolean {
  return view.endedMs > 0;
}
