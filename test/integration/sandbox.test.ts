/** The sandbox: a booted OSTree host that comes, goes and survives its users. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { SandboxHost } from "../../src/sandbox/host.ts";
import { checkoutRoot, layoutOf } from "../../src/sandbox/layout.ts";
import { withLock } from "../../src/sandbox/lock.ts";
import { eventually } from "../../src/sandbox/processes.ts";
import { makeTestHost, testBase } from "../harness/host.ts";

/** Every process that mentions a text in its arguments, zombies left out. */
async function processesNaming(text: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const argv = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (argv.includes(text)) found.push(`${pid} ${argv.replaceAll("\0", " ")}`);
  }
  return found;
}

async function mounts(): Promise<string> {
  return await readFile("/proc/self/mountinfo", "utf8");
}

describe("a sandbox", () => {
  let host: SandboxHost;
  let mountsBefore = "";

  beforeAll(async () => {
    mountsBefore = await mounts();
    host = await makeTestHost({ name: "sandbox" });
  });
  afterAll(async () => {
    await host.remove();
  });

  test("is a booted OSTree host by ostree's own judgement", async () => {
    const { stdout } = await host.exec("ostree", ["admin", "status"]);
    expect(stdout).toMatch(/^\* debian [0-9a-f]{64}\.0/m);
    expect(await host.bootedDeployment()).toBe(await host.defaultDeployment());
  });

  test("has the directories of /var and the dpkg database that boot makes", async () => {
    const { stdout } = await host.exec("dpkg-query", ["--status", "apt"]);
    expect(stdout).toContain("Status: install ok installed");
  });

  test("shows only its own processes and may not write to /usr", async () => {
    const { stdout } = await host.exec("sh", ["-c", "cat /proc/1/comm; touch /usr/x 2>&1 || true"]);
    expect(stdout).toContain("bwrap");
    expect(stdout).toContain("Read-only file system");
  });

  test("takes a private bus that any process of root can reach, from outside too", async () => {
    const inside = await host.exec("busctl", ["--address=unix:path=/run/sandbox/bus", "list", "--acquired"]);
    expect(inside.stdout).toContain("org.freedesktop.DBus");
    const outside = await exec("dbus-send", [`--bus=${host.bus}`, "--print-reply", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.GetId"]);
    expect(outside.stdout).toContain("string");
  });

  test("boots a staged deployment at a reboot, merging /etc, and forgets it in a power cut", async () => {
    await writeFile(join(await host.bootedDeployment(), "etc/mark"), "kept\n");
    const { ref } = testBase();
    const before = await host.bootedDeployment();
    await host.exec("ostree", ["admin", "deploy", "--stage", "--os=debian", ref]);
    expect(await host.systemctlCalls()).toContain("systemctl start ostree-finalize-staged.service");
    await host.powerCut();
    await host.boot();
    expect(await host.bootedDeployment()).toBe(before);

    await host.exec("ostree", ["admin", "deploy", "--stage", "--os=debian", ref]);
    await host.reboot(null);
    expect(await host.bootedDeployment()).not.toBe(before);
    expect((await host.exec("cat", ["/etc/mark"])).stdout).toBe("kept\n");
  });

  test("runs beside another one", async () => {
    await using other = await makeTestHost({ name: "sandbox-other" });
    await other.exec("touch", ["/var/here"]);
    expect(existsSync(join(host.layout.stateVar, "here"))).toBe(false);
    expect((await other.processes())?.first).not.toBe((await host.processes())?.first);
  });

  test("is found again by another object of the same directory, and not started twice", async () => {
    const again = new SandboxHost(host.layout.directory);
    await again.boot();
    expect(await again.processes()).toEqual(await host.processes());
  });

  test("ends a command inside when its caller cancels it", async () => {
    const abort = new AbortController();
    const running = host.exec("sleep", ["1234.5"], { signal: abort.signal });
    await eventually(async () => (await processesNaming("1234.5")).length > 0, 60_000);
    abort.abort();
    await expect(running).rejects.toMatchObject({ code: "Cancelled" });
    expect(await eventually(async () => (await processesNaming("1234.5")).length === 0, 60_000)).toBe(true);
  });

  test("leaves no process, mount or socket when it stops", async () => {
    await host.stop();
    expect(await processesNaming(host.layout.directory)).toEqual([]);
    expect(await mounts()).toBe(mountsBefore);
    expect(existsSync(host.layout.run)).toBe(false);
    await expect(host.exec("true")).rejects.toMatchObject({ code: "Unavailable" });
    await host.boot();
  });

  test("is whole again after whoever started it was killed half-way", async () => {
    const script = `const { SandboxHost } = await import(${JSON.stringify(join(checkoutRoot(), "dist/src/sandbox/host.js"))});
      await new SandboxHost(${JSON.stringify(host.layout.directory)}).boot(); console.log("up"); setInterval(() => {}, 1000);`;
    for (const killAfterMs of [60, 120, 180, 240, 1000]) {
      await host.stop();
      const starter = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["ignore", "pipe", "inherit"] });
      await Promise.race([once(starter.stdout, "data"), sleep(killAfterMs)]);
      starter.kill("SIGKILL");
      await once(starter, "close");
      await host.boot();
      expect((await host.exec("cat", ["/proc/1/comm"])).stdout).toBe("bwrap\n");
      const firsts = (await processesNaming(`sandbox:${host.layout.directory}`)).length;
      expect(firsts, "one bubblewrap and its process 1").toBe(2);
    }
  });

  test("says why it cannot boot", async () => {
    await using empty = Object.assign(new SandboxHost(join(host.layout.directory, "empty")), { [Symbol.asyncDispose]: async () => {} });
    await expect(empty.boot()).rejects.toThrow(/^cannot boot .*: it has no boot entry$/);
  });
});

describe("the layout", () => {
  test("keeps the bus socket where its address can be written, however long or odd the directory", () => {
    expect(layoutOf("/a/b").bus).toBe("unix:path=/a/b/run/bus");
    for (const directory of [`/${"long/".repeat(30)}`, "/with space", "/with,comma"]) {
      expect(layoutOf(directory).bus).toMatch(/^unix:path=\/run\/apt-ostree-[0-9a-f]{16}\/bus$/);
    }
    expect(layoutOf("/x y").bus).not.toBe(layoutOf("/x z").bus);
  });
});

describe("the lock between processes", () => {
  test("is freed when its holder is killed", async () => {
    const directory = await mkdtemp(join(tmpdir(), "lock-"));
    const path = join(directory, "lock");
    const holder = spawn("flock", [path, "sleep", "60"], { detached: true, stdio: "ignore" });
    await eventually(async () => existsSync(path), 60_000);
    await expect(withLock(path, 0, async () => {})).rejects.toMatchObject({ code: "Busy" });
    process.kill(-(holder.pid ?? 0), "SIGKILL");
    await once(holder, "close");
    expect(await withLock(path, 60, async () => "mine")).toBe("mine");
    await rm(directory, { recursive: true });
  });
});
