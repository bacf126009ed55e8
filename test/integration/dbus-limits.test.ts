import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bus } from "../../src/dbus/bus.ts";
import { DaemonClient, type DaemonStatus } from "../../src/dbus/client.ts";
import { jsonArray } from "../../src/dbus/json.ts";
import { ReadingLimits } from "../../src/dbus/limits.ts";
import { StatusText } from "../../src/dbus/status.ts";
import { makeRequest } from "../../src/model/request.ts";
import { startBus, type TestBus } from "../harness/bus.ts";
import { MemoryScheduler, snapshot } from "../harness/memory-scheduler.ts";
import { startTestService, type TestService } from "../harness/service.ts";

const NAME = "org.debian.aptostree1";
const CALLER = { sender: ":1.999", uid: 0, pid: 1, agent: "test" };

describe("a client that reads without end", () => {
  let bus: TestBus;
  let service: TestService;
  let flooder: Bus;
  let polite: DaemonClient;

  beforeEach(async () => {
    bus = await startBus();
    // So few that the slowest machine is above it.
    service = await startTestService(bus, new MemoryScheduler(), new ReadingLimits(40));
    flooder = await Bus.connect(bus.address, { maxOpenCalls: 100 });
    polite = await DaemonClient.connect(bus.address);
  });
  afterEach(async () => {
    await polite.close();
    await flooder.close();
    await service.stop();
    await bus.stop();
  });

  const read = async (caller: Bus, member: string, iface = NAME, signature = "", body: readonly unknown[] = []): Promise<string> => {
    const [text] = await caller.call({ destination: NAME, path: "/org/debian/aptostree1", interface: iface, member, signature, body });
    return text as string;
  };

  it("is served, with a status that is old at worst, while others get the newest one before many of its calls are", async () => {
    const id = service.scheduler.begin(makeRequest("upgrade"), CALLER);
    let answered = 0;
    const flood = Promise.all(
      Array.from({ length: 2000 }, async () => {
        const { staleMs } = JSON.parse(await read(flooder, "Status")) as { staleMs: number };
        expect(staleMs).toBeLessThan(60_000);
        answered++;
      }),
    );
    const overtaken: number[] = [];
    for (let percent = 1; answered < 2000; percent = (percent % 99) + 1) {
      service.scheduler.progress(id, percent, "working");
      const before = answered;
      const status = await polite.status();
      overtaken.push(answered - before);
      expect([status.staleMs, status.transactions[0]?.progress.percent]).toEqual([0, percent]);
      // Nobody but the flooder asks about this one.
      service.scheduler.progress(id, percent, "still working");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await flood;
    expect(answered).toBe(2000);
    // No more than the calls it may have open, and those that take their places meanwhile.
    expect(Math.max(...overtaken)).toBeLessThanOrEqual(300);
    service.scheduler.end(id, "finished");
  });

  it("waits for its turn with everything else, and is served in the end", async () => {
    const id = service.scheduler.begin(makeRequest("upgrade"), CALLER);
    const texts = await Promise.all(Array.from({ length: 700 }, () => read(flooder, "GetTransaction", `${NAME}.Manager`, "s", [id])));
    expect(new Set(texts).size).toBe(1);
    service.scheduler.end(id, "finished");
  });

  it("is refused only with more calls waiting than a system bus would let it have", async () => {
    const eager = await Bus.connect(bus.address);
    const calls = await Promise.allSettled(Array.from({ length: 1500 }, () => read(eager, "Introspect", "org.freedesktop.DBus.Introspectable")));
    const refused = calls.filter((one) => one.status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    for (const { reason } of refused) expect(reason).toMatchObject({ errorName: "org.freedesktop.DBus.Error.LimitsExceeded" });
    expect(calls.length - refused.length).toBeGreaterThanOrEqual(656);
    expect((await polite.status()).staleMs).toBe(0);
    await eager.close();
  });

  it("may change things all the same", async () => {
    await Promise.all(Array.from({ length: 600 }, () => read(flooder, "Status")));
    const reading = read(flooder, "ListTransactions", `${NAME}.Manager`, "u", [10]);
    const id = await read(flooder, "Upgrade");
    expect(service.scheduler.views.has(id)).toBe(true);
    await reading;
  });
});

describe("the text of the status", () => {
  it("is old, and says how old, only for those who are over the limit while it has changed and nobody else has asked", async () => {
    const scheduler = new MemoryScheduler();
    const text = new StatusText(scheduler, "1.2.3");
    const seen = (json: string): [number, number] => {
      const { staleMs, snapshot: shown } = JSON.parse(json) as DaemonStatus;
      return [Math.sign(staleMs), shown.epoch];
    };
    expect(seen(text.last())).toEqual([0, 1]);
    scheduler.publish(snapshot(2));
    expect(seen(text.last())).toEqual([1, 1]);
    expect(seen(text.now())).toEqual([0, 2]);
    expect(seen(text.last())).toEqual([0, 2]);
    text.close();
    expect(scheduler.listenerCount("snapshot")).toBe(0);
  });
});

describe("a long list", () => {
  it("is cut to what a message may carry, never to nothing", async () => {
    const values = Array.from({ length: 50 }, (_, i) => ({ i, text: "ä".repeat(100) }));
    expect(JSON.parse(await jsonArray(values))).toEqual(values);
    const cut = JSON.parse(await jsonArray(values, 1000)) as unknown[];
    expect(cut).toEqual(values.slice(0, cut.length));
    expect(Buffer.byteLength(JSON.stringify(cut))).toBeLessThanOrEqual(1001);
    expect(JSON.parse(await jsonArray(values, 1))).toEqual(values.slice(0, 1));
    expect(await jsonArray([])).toBe("[]");
  });
});
