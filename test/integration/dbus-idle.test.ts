import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bus } from "../../src/dbus/bus.ts";
import { DaemonClient } from "../../src/dbus/client.ts";
import { watchIdle } from "../../src/idle.ts";
import { makeRequest } from "../../src/model/request.ts";
import { checkoutRoot } from "../../src/sandbox/layout.ts";
import { startBus, type TestBus } from "../harness/bus.ts";
import { startTestService } from "../harness/service.ts";

const NAME = "org.debian.aptostree1";
const PROGRAM = join(checkoutRoot(), "dist/test/harness/idle-daemon.js");
const CALLER = { sender: ":1.999", uid: 0, pid: 1, agent: "test" };

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("a daemon that the bus can start", () => {
  let bus: TestBus;
  let observer: Bus;

  beforeEach(async () => {
    bus = await startBus({ activatable: { name: NAME, command: [process.execPath, PROGRAM, "ADDRESS", "300"] } });
    observer = await Bus.connect(bus.address);
  });
  afterEach(async () => {
    await observer.close();
    await bus.stop();
  });

  const gone = () => expect.poll(() => observer.ownerOf(NAME)).toBeNull();

  it("ends when nobody has asked for a while, and is there again for the next call of the same client", async () => {
    const client = await DaemonClient.connect(bus.address);
    const first = Number((await client.status()).version);
    await gone();
    await expect.poll(() => isAlive(first)).toBe(false);
    const second = Number((await client.status()).version);
    expect(second).not.toBe(first);
    await client.close();
    await gone();
  });

  it("stays while a call waits or a transaction has not ended", async () => {
    const client = await DaemonClient.connect(bus.address);
    const waiting = client.waitStatus(1, 60_000);
    const first = (await client.status()).version;
    await sleep(1500);
    expect((await client.status()).version).toBe(first);
    const id = await client.submit({ kind: "upgrade", agent: "test" });
    expect((await waiting).version).toBe(first);
    await sleep(1500);
    expect((await client.status()).version).toBe(first);
    expect((await client.transaction(id)).state).toBe("queued");
    await client.cancel(id);
    await client.close();
    await gone();
  });

  it("answers every call, also those that come while it is leaving", async () => {
    const client = await DaemonClient.connect(bus.address);
    const versions = new Set<string>();
    for (let round = 0; round < 12 || (versions.size < 2 && round < 200); round++) {
      // Around the moment at which it leaves; later and later, until it has left once between two calls.
      await sleep(290 + round * 4);
      versions.add((await client.status()).version);
    }
    expect(versions.size).toBeGreaterThan(1);
    await client.close();
    await gone();
  });
});

describe("leaving", () => {
  it("is not for a daemon that the bus cannot start again", async () => {
    const bus = await startBus();
    const service = await startTestService(bus);
    expect(await service.leave()).toBe(false);
    expect(await service.bus.ownerOf(NAME)).toBe(service.bus.name);
    await service.stop();
    await bus.stop();
  });

  it("has the next daemon started where the last call began a transaction", async () => {
    const directory = await mkdtemp(join(tmpdir(), "apt-ostree-idle-"));
    const started = join(directory, "started");
    const bus = await startBus({ activatable: { name: NAME, command: ["/usr/bin/touch", started] } });
    const service = await startTestService(bus);
    const client = await DaemonClient.connect(bus.address);
    const { scheduler } = service;
    scheduler.overrides.submit = async (request, caller) => {
      await sleep(100);
      return scheduler.begin(request, caller);
    };
    const submitted = client.submit({ kind: "upgrade", agent: "test" });
    await expect.poll(() => service.idleSinceMs()).toBeNull();
    expect(await service.leave()).toBe(true);
    expect(scheduler.views.has(await submitted)).toBe(true);
    await service.stop();
    await expect.poll(() => existsSync(started)).toBe(true);
    await client.close();
    await bus.stop();
    await rm(directory, { recursive: true });
  });

  it("answers those who wait for a status at once", async () => {
    const bus = await startBus({ activatable: { name: NAME, command: ["/bin/false"] } });
    const service = await startTestService(bus);
    const client = await DaemonClient.connect(bus.address);
    const waiting = client.waitStatus(1, 600_000);
    await expect.poll(() => service.idleSinceMs()).toBeNull();
    expect(await service.leave()).toBe(true);
    expect((await waiting).snapshot.epoch).toBe(1);
    await client.close();
    await service.stop();
    await bus.stop();
  });

  it("is tried only after nothing has happened for the whole time, and again where it failed", async () => {
    let sinceMs: number | null = null;
    const tries: number[] = [];
    const begunMs = performance.now();
    await new Promise<void>((resolve, reject) => {
      watchIdle({
        idleMs: 50,
        idleSinceMs: () => sinceMs,
        leave: async () => tries.push(performance.now()) > 1,
        onLeft: resolve,
        onError: reject,
      });
      setTimeout(() => {
        sinceMs = performance.now();
      }, 120);
    });
    expect(tries).toHaveLength(2);
    expect((tries[0] ?? 0) - begunMs).toBeGreaterThanOrEqual(165);
  });

  it("does not count a transaction of another client as nothing", async () => {
    const bus = await startBus();
    const service = await startTestService(bus);
    const id = service.scheduler.begin(makeRequest("upgrade"), CALLER);
    expect(service.idleSinceMs()).toBeNull();
    const endedMs = performance.now();
    service.scheduler.end(id, "finished");
    expect(service.idleSinceMs()).toBeGreaterThanOrEqual(endedMs);
    await service.stop();
    await bus.stop();
  });
});
