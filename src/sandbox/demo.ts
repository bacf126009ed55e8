/**
 * The main job from beginning to end, on real input: what `npm start` shows. Everything that a user would type runs as the real
 * command line in a process of its own; only the status poller speaks to the bus directly, to measure answers and not process starts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join, relative } from "node:path";
import { createInterface } from "node:readline";
import { styleText } from "node:util";
import { AptOstreeError } from "../model/errors.ts";
import { BASE_TREEFILE, ensureBase } from "./base.ts";
import type { SandboxHost } from "./host.ts";
import { checkoutRoot } from "./layout.ts";
import { latestTransactions, pollStatus } from "./poller.ts";

/** With dependencies about 45 packages. */
const PACKAGES = ["nginx", "vim", "git", "python3-numpy"];
/** What a third client prefetches meanwhile and two clients then want at once. */
const MORE_PACKAGES = ["jq", "tree"];
/** Kept from the last run, relative to /var: the packages and lists that were downloaded. */
const KEPT = ["lib/apt-ostree/archives", "lib/apt-ostree/lists", "lib/apt-ostree/aptcache"];
const POLL_PAUSE_MS = 20;

/** Runs the main job; the exit status. The sandbox begins from the bare base each time and is left running. */
export async function demo(host: SandboxHost): Promise<number> {
  const show = new Show(host);
  await host.locked(async () => {
    await show.step("Compose the base", async () => {
      const at = (path: string): string => relative(checkoutRoot(), path);
      await show.cli("compose", "tree", BASE_TREEFILE, `--repo=${at(host.layout.repo)}`, `--cache-dir=${at(host.layout.archives)}`, "--cached");
    });
    await show.step("Deploy it into a sysroot and boot that, with a bus and the daemon", async () => {
      const { ref } = await ensureBase(host.layout);
      await host.stop();
      await host.createSysroot({ ref, keepVar: KEPT });
      await host.boot();
      await host.startDaemon();
      show.line(`bus ${host.bus}, logs in ${host.layout.log}`);
    });
  });
  await show.step("Look at it", () => show.cli("status"));
  await show.step("Fetch the package lists", () => show.cli("refresh-md"));
  await show.step("Install, while one client polls the status and another prefetches", () => installBesideOthers(show, host));
  await show.step("What changed, and how long each stage took", async () => {
    const installed = (await latestTransactions(host.bus, 50)).find((transaction) => transaction.kind === "install");
    if (installed === undefined) throw new AptOstreeError("NotFound", "cannot show the installation: the daemon does not know it");
    await show.cli("transactions", "show", installed.id);
    await show.cli("status");
  });
  await show.step("Reboot into it: the staged deployment is finalised as at a shutdown", async () => {
    show.command("npm start -- reboot");
    await host.locked(() => host.reboot());
    const { stdout } = await host.exec("sh", ["-c", "nginx -v 2>&1; git --version; python3 -c 'import numpy; print(\"numpy\", numpy.__version__)'"]);
    for (const line of stdout.trim().split("\n")) show.line(line);
  });
  await show.step("The same request from two clients at once: one run, two results", async () => {
    await Promise.all([show.clientOf("client 1", "install", ...MORE_PACKAGES), show.clientOf("client 2", "install", ...MORE_PACKAGES)]);
    const two = (await latestTransactions(host.bus, 10)).filter((transaction) => transaction.kind === "install").slice(0, 2);
    for (const transaction of two) show.line(`transaction ${transaction.id}: ${transaction.state} in run ${transaction.runId}`);
  });
  await show.step("Uninstall", () => show.cli("uninstall", ...MORE_PACKAGES));
  await show.step("Roll back", async () => {
    await show.cli("rollback");
    await show.cli("status");
  });
  show.end();
  return 0;
}

async function installBesideOthers(show: Show, host: SandboxHost): Promise<void> {
  const done = new AbortController();
  const polling = pollStatus(host.bus, POLL_PAUSE_MS, done.signal);
  // Its failure is met where it is awaited, not in the middle of the installation.
  polling.catch(() => undefined);
  const prefetching = show.later("prefetch", ...MORE_PACKAGES);
  try {
    await show.cli("install", ...PACKAGES);
  } finally {
    done.abort();
  }
  const { count, p50Ms, p99Ms, maxMs } = await polling;
  show.line(`meanwhile the other client had ${count} status answers: p50 ${ms(p50Ms)}, p99 ${ms(p99Ms)}, longest ${ms(maxMs)}`);
  await prefetching();
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

/** What the person sees: numbered steps, the command that each stands for, and its output as it comes. */
class Show {
  readonly #env: NodeJS.ProcessEnv;
  readonly #startMs = Date.now();
  readonly #took: { title: string; seconds: number }[] = [];

  constructor(host: SandboxHost) {
    this.#env = { ...process.env, APT_OSTREE_BUS: host.bus };
  }

  async step(title: string, work: () => Promise<void>): Promise<void> {
    print("");
    print(styleText("bold", `${this.#took.length + 1}. ${title}`));
    const startMs = Date.now();
    await work();
    const seconds = (Date.now() - startMs) / 1000;
    this.#took.push({ title, seconds });
    print(styleText("dim", `   (${seconds.toFixed(1)} s)`));
  }

  command(text: string): void {
    print(styleText("cyan", `$ ${text}`));
  }

  line(text: string): void {
    print(`   ${text}`);
  }

  /** Runs the command line in the foreground, with its own live progress where this is a terminal. */
  async cli(...args: string[]): Promise<void> {
    this.command(`apt-ostree ${args.join(" ")}`);
    await ended(this.#spawn(args, "inherit"), args);
  }

  /** Runs it beside others, each line marked with the client's name. */
  async clientOf(name: string, ...args: string[]): Promise<void> {
    this.command(`apt-ostree ${args.join(" ")}   # ${name}`);
    const child = this.#spawn(args, "pipe");
    forEachLine(child, (line) => this.line(`${styleText("dim", `${name}:`)} ${line}`));
    await ended(child, args);
  }

  /** Runs it beside a foreground command; the function returned waits for its end and shows what it said. */
  later(...args: string[]): () => Promise<void> {
    this.command(`apt-ostree ${args.join(" ")}   # beside the next one`);
    const child = this.#spawn(args, "pipe");
    const lines: string[] = [];
    forEachLine(child, (line) => lines.push(line));
    const closed = once(child, "close") as Promise<Ending>;
    return async () => {
      const ending = await closed;
      for (const line of lines) this.line(`${styleText("dim", `${args[0]}:`)} ${line}`);
      check(ending, args);
    };
  }

  end(): void {
    print("");
    print(styleText("bold", `All of it took ${((Date.now() - this.#startMs) / 1000).toFixed(1)} s`));
    for (const { title, seconds } of this.#took) print(`   ${seconds.toFixed(1).padStart(6)} s  ${title}`);
    print("");
    print("The sandbox goes on running. By hand:");
    print("   npm start -- status                any apt-ostree command: install, uninstall, upgrade, transactions ...");
    print("   npm start -- reboot                boot what is the default now");
    print("   npm start -- shell                 a shell on the booted host");
    print("   npm start -- stop                  end it; the next command starts it again");
  }

  #spawn(args: readonly string[], output: "inherit" | "pipe"): ChildProcess {
    const cli = join(checkoutRoot(), "dist/src/cli.js");
    return spawn(process.execPath, [cli, ...args], { cwd: checkoutRoot(), stdio: ["ignore", output, output], env: this.#env });
  }
}

type Ending = [status: number | null, killedBy: NodeJS.Signals | null];

async function ended(child: ChildProcess, args: readonly string[]): Promise<void> {
  check((await once(child, "close")) as Ending, args);
}

function check([status, killedBy]: Ending, args: readonly string[]): void {
  if (status !== 0) throw new AptOstreeError("Internal", `cannot go on: apt-ostree ${args[0]} ended with ${killedBy ?? `status ${status}`}`);
}

function forEachLine(child: ChildProcess, onLine: (line: string) => void): void {
  for (const stream of [child.stdout, child.stderr]) if (stream !== null) createInterface({ input: stream }).on("line", onLine);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
