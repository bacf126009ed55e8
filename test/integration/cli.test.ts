import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { makeRequest } from "../../src/model/request.ts";
import { startBus, type TestBus } from "../harness/bus.ts";
import { snapshot } from "../harness/memory-scheduler.ts";
import { startTestService, type TestService } from "../harness/service.ts";

const ROOT = join(import.meta.dirname, "../..");
const OTHER = { sender: ":1.999", uid: 0, pid: 1, agent: "test" };
const until = (condition: () => unknown): Promise<unknown> => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 60_000, interval: 10 });

/** A running `apt-ostree` and what it has printed. */
class Client {
  out = "";
  err = "";
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env: { PATH: process.env.PATH, LC_ALL: "C.UTF-8", ...env } });
    this.#child.stdout?.on("data", (chunk) => {
      this.out += chunk;
    });
    this.#child.stderr?.on("data", (chunk) => {
      this.err += chunk;
    });
    this.ended = new Promise((resolve) => this.#child.once("close", (status) => resolve(status)));
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  closeOutput(): void {
    this.#child.stdout?.destroy();
  }
}

describe("apt-ostree as a process", () => {
  let built: string;
  let bus: TestBus;
  let service: TestService;
  let running: Client[];

  beforeAll(async () => {
    // The sources as they are now, not a build that may be older.
    built = await mkdtemp(join(tmpdir(), "apt-ostree-cli-"));
    await promisify(execFile)(join(ROOT, "node_modules/.bin/tsc"), ["-p", join(ROOT, "tsconfig.json"), "--noCheck", "--outDir", join(built, "dist")]);
    await symlink(join(ROOT, "node_modules"), join(built, "node_modules"));
    await symlink(join(ROOT, "package.json"), join(built, "package.json"));
    bus = await startBus();
  });
  afterAll(async () => {
    await bus.stop();
    await rm(built, { recursive: true, force: true });
  });
  beforeEach(async () => {
    running = [];
    service = await startTestService(bus);
  });
  afterEach(async () => {
    for (const client of running) client.signal("SIGKILL");
    await Promise.all(running.map(({ ended }) => ended));
    await service.stop();
  });

  const program = (): string => join(built, "dist/src/cli.js");
  function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): Client {
    const client = new Client(process.execPath, [program(), ...args], { APT_OSTREE_BUS: bus.address, ...env });
    running.push(client);
    return client;
  }
  const onlyId = async (): Promise<string> => {
    await until(() => service.scheduler.views.size === 1);
    return [...service.scheduler.views.keys()][0] as string;
  };

  it("answers --help without loading the D-Bus library", async () => {
    const client = start(["--help"], { NODE_DEBUG: "module,esm" });
    expect(await client.ended).toBe(0);
    expect(client.out).toContain("Usage: apt-ostree");
    expect(client.err).toContain("commander");
    expect(client.err).not.toContain("dbus-next");
    expect(client.err).not.toContain("src/compose");
  });

  it("shows the status as text and as JSON", async () => {
    const text = start(["status"]);
    expect(await text.ended).toBe(0);
    expect(text.out).toContain("State: idle\nDeployments:\n● debian:debian/trixie\n");
    const json = start(["status", "--json"]);
    expect(await json.ended).toBe(0);
    expect(JSON.parse(json.out)).toMatchObject({ version: "1.2.3", snapshot: { epoch: 1 }, transactions: [] });
  });

  it("installs: plain lines in a pipe, then the result", async () => {
    const client = start(["install", "vim"]);
    const id = await onlyId();
    expect(service.scheduler.views.get(id)?.request).toEqual(makeRequest("install", { packages: ["vim"] }));
    service.scheduler.change(id, { state: "planning" });
    service.scheduler.say(id, "vim will be new");
    service.scheduler.change(id, { state: "deploying" });
    await until(() => client.out.includes("Deploying…"));
    service.scheduler.end(id, "finished");
    expect(await client.ended).toBe(0);
    expect(client.out).toMatch(/vim will be new\n[\s\S]*Deploying… done\nDone\nChanges take effect at the next boot\n$/);
    expect(client.err).toBe("");
  });

  it("ends a failed transaction with its error and status 1", async () => {
    const client = start(["install", "vim"]);
    service.scheduler.end(await onlyId(), "failed");
    expect(await client.ended).toBe(1);
    expect(client.err).toBe("error: cannot assemble: postinst of vim failed\n");
  });

  it("follows on when the daemon is restarted", async () => {
    const client = start(["upgrade"]);
    const id = await onlyId();
    service.scheduler.change(id, { state: "downloading" });
    await until(() => client.out.includes("Downloading…"));
    await service.stop();
    await until(() => client.out.includes("Lost apt-ostreed"));
    service = await startTestService(bus, service.scheduler);
    await until(() => client.out.includes("apt-ostreed is back"));
    service.scheduler.end(id, "finished");
    expect(await client.ended).toBe(0);
  });

  it("waits for a new status, across a restart of the daemon, and leaves on Ctrl-C", async () => {
    const client = start(["status", "--wait", "--json"]);
    await until(() => service.scheduler.waiting === 1);
    await service.stop();
    service = await startTestService(bus, service.scheduler);
    await until(() => service.scheduler.waiting === 1);
    service.scheduler.publish(snapshot(2));
    expect(await client.ended).toBe(0);
    expect(JSON.parse(client.out)).toMatchObject({ snapshot: { epoch: 2 } });
    const impatient = start(["status", "--wait"]);
    await until(() => service.scheduler.waiting === 1);
    impatient.signal("SIGINT");
    expect(await impatient.ended).toBe(130);
    expect(impatient.out + impatient.err).toBe("");
    await until(() => service.scheduler.waiting === 0);
  });

  it("cancels on the first SIGINT and ends with 130", async () => {
    const client = start(["upgrade"]);
    const id = await onlyId();
    service.scheduler.change(id, { state: "downloading" });
    await until(() => client.out.includes("Downloading…"));
    client.signal("SIGINT");
    expect(await client.ended).toBe(130);
    expect(service.scheduler.views.get(id)?.state).toBe("cancelled");
  });

  it("leaves on SIGTERM without cancelling", async () => {
    const client = start(["upgrade"]);
    const id = await onlyId();
    service.scheduler.change(id, { state: "downloading" });
    await until(() => client.out.includes("Downloading…"));
    client.signal("SIGTERM");
    expect(await client.ended).toBe(143);
    expect(service.scheduler.views.get(id)?.state).toBe("downloading");
  });

  it("ends quietly when nobody reads its output any more, and the transaction goes on", async () => {
    const client = start(["upgrade"]);
    const id = await onlyId();
    service.scheduler.change(id, { state: "downloading" });
    await until(() => client.out.includes("Downloading…"));
    client.closeOutput();
    service.scheduler.say(id, "to nobody");
    expect(await client.ended).toBe(141);
    expect(client.err).toBe("");
    expect(service.scheduler.views.get(id)?.state).toBe("downloading");
  });

  it("draws one moving line on a terminal, where Ctrl-C cancels", async () => {
    const command = `stty cols 60; exec ${process.execPath} ${program()} upgrade`;
    const client = new Client("script", ["-qec", command, "/dev/null"], { APT_OSTREE_BUS: bus.address, TERM: "xterm" });
    running.push(client);
    const id = await onlyId();
    service.scheduler.progress(id, 43, "unpacking nginx");
    service.scheduler.change(id, { state: "assembling" });
    await until(() => client.out.includes("\r\u001b[K[ 43%] unpacking nginx · 430/1000 B") || client.out.includes("0.4/1.0 kB"));
    client.type("\u0003");
    expect(await client.ended).toBe(130);
    expect(client.out).toContain("Cancelling…");
    expect(service.scheduler.views.get(id)?.state).toBe("cancelled");
  });

  it("writes no escapes on a terminal that is dumb", async () => {
    const client = new Client("script", ["-qec", `${process.execPath} ${program()} upgrade`, "/dev/null"], {
      APT_OSTREE_BUS: bus.address,
      TERM: "dumb",
    });
    running.push(client);
    const id = await onlyId();
    service.scheduler.change(id, { state: "assembling" });
    await until(() => client.out.includes("Assembling…"));
    service.scheduler.end(id, "finished");
    expect(await client.ended).toBe(0);
    expect(client.out).not.toContain("\u001b");
  });

  it("lists, shows, follows and cancels transactions of other clients", async () => {
    const id = service.scheduler.begin(makeRequest("install", { packages: ["vim"] }), OTHER);
    service.scheduler.say(id, "hello from the start");
    const list = start(["transactions"]);
    expect(await list.ended).toBe(0);
    expect(list.out).toContain(`${id}  queued 0%`);
    const show = start(["transactions", "show", id.slice(0, 6)]);
    expect(await show.ended).toBe(0);
    expect(show.out).toContain("hello from the start\n");
    const follow = start(["transactions", "follow", id, "--json"]);
    await until(() => follow.out.includes("hello from the start"));
    const cancel = start(["cancel", id.slice(0, 6)]);
    expect(await cancel.ended).toBe(0);
    expect(cancel.out).toContain(`Cancelled ${id} (install vim)\n`);
    expect(await follow.ended).toBe(1);
    expect(JSON.parse(follow.out.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({ event: "finished", transaction: { state: "cancelled" } });
  });

  it("names the bus that it cannot reach, and the daemon that is not there", async () => {
    const noBus = start(["status"], { APT_OSTREE_BUS: "unix:path=/nonexistent/bus" });
    expect(await noBus.ended).toBe(1);
    expect(noBus.err).toMatch(/^error: cannot connect to the bus at unix:path=\/nonexistent\/bus: .*\n$/);
    await service.stop();
    const noDaemon = start(["status"]);
    expect(await noDaemon.ended).toBe(1);
    expect(noDaemon.err).toMatch(/^error: cannot reach apt-ostreed .*\n$/);
    service = await startTestService(bus);
  });
});
