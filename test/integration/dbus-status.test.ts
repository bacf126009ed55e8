import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bus } from "../../src/dbus/bus.ts";
import { DaemonClient } from "../../src/dbus/client.ts";
import { makeRequest } from "../../src/model/request.ts";
import { startBus, type TestBus } from "../harness/bus.ts";
import { MemoryScheduler, snapshot } from "../harness/memory-scheduler.ts";
import { startTestService, type TestService } from "../harness/service.ts";

const NAME = "org.debian.aptostree1";
const CALLER = { sender: ":1.999", uid: 0, pid: 1, agent: "test" };

describe("a status that waits", () => {
  let bus: TestBus;
  let service: TestService;
  let client: DaemonClient;

  beforeEach(async () => {
    bus = await startBus();
    service = await startTestService(bus);
    client = await DaemonClient.connect(bus.address, { patienceMs: 3000 });
  });
  afterEach(async () => {
    await client.close();
    await service.stop();
    await bus.stop();
  });

  const call = (caller: Bus, member: string, signature: string, body: readonly unknown[]) =>
    caller.call({ destination: NAME, path: "/org/debian/aptostree1", interface: `${NAME}.Manager`, member, signature, body });

  it("comes at once where the epoch is above, when it rises, and after the timeout as it is", async () => {
    expect((await client.waitStatus(0, 600_000)).snapshot.epoch).toBe(1);
    const waiting = client.waitStatus(1, 600_000);
    await expect.poll(() => service.scheduler.waiting).toBe(1);
    service.scheduler.publish(snapshot(7));
    expect((await waiting).snapshot.epoch).toBe(7);
    expect((await client.waitStatus(7, 10)).snapshot.epoch).toBe(7);
    expect(service.scheduler.waiting).toBe(0);
  });

  it("does not keep other calls of the same client waiting", async () => {
    const waiting = client.waitStatus(1, 600_000);
    await expect.poll(() => service.scheduler.waiting).toBe(1);
    expect((await client.status()).snapshot.epoch).toBe(1);
    service.scheduler.publish(snapshot(2));
    await waiting;
  });

  it("is forgotten as soon as its client has left", async () => {
    const short = await Bus.connect(bus.address);
    const calls = [1, 2, 3].map(() => call(short, "WaitStatus", "tu", [1, 600_000]).catch((error: unknown) => error));
    await expect.poll(() => service.scheduler.waiting).toBe(3);
    await short.close();
    await Promise.all(calls);
    await expect.poll(() => service.scheduler.waiting).toBe(0);
  });

  it("is refused to a client that leaks its calls", async () => {
    const leaky = await Bus.connect(bus.address);
    const calls = Array.from({ length: 64 }, () => call(leaky, "WaitStatus", "tu", [1, 600_000]));
    await expect(call(leaky, "WaitStatus", "tu", [1, 600_000])).rejects.toMatchObject({
      errorName: "org.freedesktop.DBus.Error.LimitsExceeded",
    });
    service.scheduler.publish(snapshot(2));
    await Promise.all(calls);
    await leaky.close();
  });

  it("is answered when the daemon stops, and goes on with the next one", async () => {
    const waiting = client.statusAfter(1);
    await expect.poll(() => service.scheduler.waiting).toBe(1);
    await service.stop();
    const scheduler = new MemoryScheduler();
    service = await startTestService(bus, scheduler);
    await expect.poll(() => scheduler.waiting).toBe(1);
    scheduler.publish(snapshot(2));
    expect((await waiting).snapshot.epoch).toBe(2);
  });

  it("goes on when the daemon is killed, and gives up when none comes back", async () => {
    const waiting = client.statusAfter(1);
    await expect.poll(() => service.scheduler.waiting).toBe(1);
    await service.bus.close();
    service.scheduler.publish(snapshot(2));
    service = await startTestService(bus, service.scheduler);
    expect((await waiting).snapshot.epoch).toBe(2);
    const impatient = await DaemonClient.connect(bus.address, { patienceMs: 50 });
    const inVain = expect(impatient.statusAfter(2)).rejects.toMatchObject({ code: "Unavailable" });
    await expect.poll(() => service.scheduler.waiting).toBe(1);
    await service.stop();
    await inVain;
    await impatient.close();
    service = await startTestService(bus);
  });
});

describe("the text of the status", () => {
  it("is made once for each change, however many ask", async () => {
    const bus = await startBus();
    const service = await startTestService(bus);
    const client = await DaemonClient.connect(bus.address);
    let made = 0;
    const { scheduler } = service;
    const counted = scheduler.status.bind(scheduler);
    scheduler.status = () => {
      made++;
      return counted();
    };
    await Promise.all(Array.from({ length: 100 }, () => client.status()));
    expect(made).toBe(1);
    const id = scheduler.begin(makeRequest("upgrade"), CALLER);
    for (const step of [
      () => scheduler.change(id, { state: "planning" }),
      () => scheduler.progress(id, 50, "half"),
      () => scheduler.publish(snapshot(2)),
    ]) {
      step();
      const before = made;
      const answers = await Promise.all(Array.from({ length: 20 }, () => client.status()));
      // A second later the estimates are looked at again, whatever happened.
      expect(made - before).toBeLessThanOrEqual(2);
      for (const answer of answers) expect(answer).toEqual({ version: "1.2.3", staleMs: 0, ...counted() });
    }
    scheduler.end(id, "finished");
    expect((await client.status()).transactions).toEqual([]);
    await client.close();
    await service.stop();
    await bus.stop();
  });
});
