import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bus, DRIVER } from "../../src/dbus/bus.ts";
import { DaemonClient } from "../../src/dbus/client.ts";
import type { FollowEvent } from "../../src/dbus/follow.ts";
import { transactionPath } from "../../src/dbus/wire.ts";
import { AptOstreeError } from "../../src/model/errors.ts";
import { startBus, type TestBus } from "../harness/bus.ts";
import { run, startTestService, type TestService } from "../harness/service.ts";

const POLICY = new URL("../../systemd/dbus-1/system.d/org.debian.aptostree1.conf", import.meta.url).pathname;

describe("the daemon's client", () => {
  // With the limits and the policy of a real system bus.
  let bus: TestBus;
  let service: TestService;
  let client: DaemonClient;

  beforeEach(async () => {
    bus = await startBus({ systemPolicy: POLICY });
    service = await startTestService(bus);
    client = await DaemonClient.connect(bus.address, { patienceMs: 3000 });
  });
  afterEach(async () => {
    await client.close();
    await service.stop();
    await bus.stop();
  });

  /** Follows to the end and gives one word for each event; `onEvent` may act in between. */
  async function follow(id: string, onEvent: (event: FollowEvent, words: readonly string[]) => unknown = () => {}): Promise<string[]> {
    const words: string[] = [];
    for await (const event of client.follow(id)) {
      if (event.kind === "message") words.push(`message ${event.message.seq} ${event.message.text}`);
      else words.push(event.kind === "lost" ? "lost" : `${event.kind} ${event.view.state} ${event.view.progress.percent}`);
      await onEvent(event, words);
    }
    return words;
  }

  it("asks for the status, submits, lists, reads and cancels", async () => {
    expect(await client.status()).toMatchObject({ version: "1.2.3", snapshot: { epoch: 1 }, transactions: [] });
    const id = await client.submit({ kind: "install", packages: ["vim"], agent: "cli" });
    expect(await client.transaction(id)).toMatchObject({ id, title: "install vim", caller: { agent: "cli", pid: process.pid } });
    expect(await client.transactions(10)).toHaveLength(1);
    await client.cancel(id);
    expect((await client.transaction(id)).state).toBe("cancelled");
    expect(await client.reload()).toBe(2);
  });

  it("gives the daemon's errors back as they were", async () => {
    await expect(client.transaction("000000000000")).rejects.toMatchObject({ code: "NotFound", message: expect.stringContaining("000000000000") });
    await expect(client.submit({ kind: "explode", agent: "cli" })).rejects.toMatchObject({ code: "InvalidRequest" });
    await expect(client.transactions(1001)).rejects.toBeInstanceOf(AptOstreeError);
  });

  it("reads all messages, however many there are", async () => {
    const id = await client.submit({ kind: "upgrade", agent: "cli" });
    for (let i = 1; i <= 4500; i++)
      service.scheduler.said.set(id, [...(service.scheduler.said.get(id) ?? []), { seq: i, atMs: 0, level: "info", text: `${i}` }]);
    const messages = await client.messages(id, 2);
    expect(messages.map((message) => message.seq)).toEqual(Array.from({ length: 4498 }, (_, i) => i + 3));
  });

  it("gets a thousand calls at once answered within the limits of a system bus", async () => {
    const answers = await Promise.all(Array.from({ length: 1000 }, () => client.status()));
    expect(answers.every((answer) => answer.version === "1.2.3")).toBe(true);
  });

  it("answers fifty clients that ask a hundred times each", async () => {
    const clients = await Promise.all(Array.from({ length: 50 }, () => DaemonClient.connect(bus.address)));
    const answers = await Promise.all(
      clients.map(async (one) => {
        let answered = 0;
        for (let i = 0; i < 100; i++) answered += (await one.status()).snapshot.epoch;
        return answered;
      }),
    );
    expect(answers).toEqual(Array.from({ length: 50 }, () => 100));
    await Promise.all(clients.map((one) => one.close()));
  });

  it("says what to do when the bus has no daemon, and when there is no bus", async () => {
    await service.stop();
    await expect(DaemonClient.connect(bus.address)).rejects.toMatchObject({
      code: "Unavailable",
      message: expect.stringContaining("start apt-ostreed"),
    });
    await expect(client.status()).rejects.toMatchObject({ code: "Unavailable" });
    await expect(DaemonClient.connect("unix:path=/nowhere/at/all")).rejects.toMatchObject({ code: "Unavailable" });
    service = await startTestService(bus);
  });

  it("follows from the first message to the end, whenever it attaches", async () => {
    const { scheduler } = service;
    const id = await client.submit({ kind: "upgrade", agent: "cli" });
    scheduler.say(id, "early");
    scheduler.progress(id, 5, "started");
    const words = await follow(id, (_event, told) => {
      if (told.length !== 2) return;
      scheduler.change(id, { state: "planning" });
      scheduler.progress(id, 50, "half");
      scheduler.say(id, "late");
      scheduler.end(id, "finished");
    });
    // Between the two changes, the transaction may already be read as ended.
    expect(words.filter((word) => !word.startsWith("changed planning") && !word.startsWith("progress"))).toEqual([
      "changed queued 5",
      "message 1 early",
      "message 2 late",
      "finished finished 50",
    ]);
    expect(await follow(id)).toEqual(["changed finished 50", "message 1 early", "message 2 late", "finished finished 50"]);
  });

  it("tells of every step when there is time between them", async () => {
    const { scheduler } = service;
    const id = await client.submit({ kind: "upgrade", agent: "cli" });
    const steps = [
      () => scheduler.change(id, { state: "planning" }),
      () => scheduler.progress(id, 50, "half"),
      () => scheduler.say(id, "hello"),
      () => scheduler.end(id, "failed"),
    ];
    const words = await follow(id, () => steps.shift()?.());
    expect(words).toEqual(["changed queued 0", "changed planning 0", "progress planning 50", "message 1 hello", "finished failed 50"]);
  });

  it("hears a new estimate without asking again", async () => {
    const { scheduler } = service;
    const id = await client.submit({ kind: "upgrade", class: "timer", agent: "cli" });
    const etas: unknown[] = [];
    const steps = [
      () => scheduler.change(id, { eta: { p50Ms: 5000, p90Ms: 9000 } }),
      () => scheduler.change(id, { eta: { p50Ms: 4000, p90Ms: 9000 } }),
      () => scheduler.change(id, { eta: null }),
      () => scheduler.end(id, "finished"),
    ];
    const words = await follow(id, (event) => {
      if (event.kind !== "lost") etas.push(event.view.eta);
      steps.shift()?.();
    });
    expect(words).toEqual(["changed queued 0", ...Array(3).fill("progress queued 0"), "finished finished 0"]);
    expect(etas.slice(0, 4)).toEqual([null, { p50Ms: 5000, p90Ms: 9000 }, { p50Ms: 4000, p90Ms: 9000 }, null]);
  });

  it("misses and repeats no message, however they race with attaching", async () => {
    const { scheduler } = service;
    const id = await client.submit({ kind: "upgrade", agent: "cli" });
    let said = 0;
    const talking = setInterval(() => {
      for (let i = 0; i < 20 && said < 400; i++) scheduler.say(id, `${++said}`);
      if (said >= 400) {
        clearInterval(talking);
        scheduler.end(id, "finished");
      }
    }, 1);
    const words = await Promise.all([follow(id), follow(id), follow(id)]);
    for (const told of words) {
      expect(told.filter((word) => word.startsWith("message"))).toEqual(Array.from({ length: 400 }, (_, i) => `message ${i + 1} ${i + 1}`));
      expect(told.at(-1)).toBe("finished finished 0");
    }
  });

  it("survives that the daemon is restarted", async () => {
    const { scheduler } = service;
    const id = await client.submit({ kind: "upgrade", agent: "cli" });
    scheduler.say(id, "before");
    const words = await follow(id, async (event) => {
      if (event.kind === "message" && event.message.text === "before") {
        // As a daemon that is killed: the connection goes, nothing is said.
        await service.bus.close();
        scheduler.removeAllListeners();
        scheduler.say(id, "meanwhile");
      } else if (event.kind === "lost") setTimeout(async () => (service = await startTestService(bus, scheduler)), 100);
      else if (event.kind === "resumed") {
        scheduler.say(id, "after");
        scheduler.end(id, "finished");
      }
    });
    expect(words).toEqual([
      "changed queued 0",
      "message 1 before",
      "lost",
      "resumed queued 0",
      "message 2 meanwhile",
      "message 3 after",
      "finished finished 0",
    ]);
  });

  it("gives up when the daemon does not come back", async () => {
    const impatient = await DaemonClient.connect(bus.address, { patienceMs: 200 });
    const id = await impatient.submit({ kind: "upgrade", agent: "cli" });
    const kinds: string[] = [];
    const following = (async () => {
      for await (const event of impatient.follow(id)) {
        kinds.push(event.kind);
        if (event.kind === "changed") await service.stop();
      }
    })();
    await expect(following).rejects.toMatchObject({ code: "Unavailable", message: expect.stringContaining("did not come back") });
    expect(kinds).toEqual(["changed", "lost"]);
    await impatient.close();
    service = await startTestService(bus);
  });

  it("stops following when it is closed", async () => {
    const id = await client.submit({ kind: "upgrade", agent: "cli" });
    const following = follow(id, (event) => {
      if (event.kind === "changed") setTimeout(() => client.close(), 20);
    });
    await expect(following).rejects.toMatchObject({ code: "Unavailable" });
  });

  it("believes no signal that another program sends", async () => {
    const { scheduler } = service;
    const id = await client.submit({ kind: "upgrade", agent: "cli" });
    const liar = await Bus.connect(bus.address);
    const words = await follow(id, async (_event, told) => {
      if (told.length > 1) return;
      liar.emit(transactionPath(id), "org.debian.aptostree1.Transaction", "Message", "uss", [1, "info", "lie"]);
      const { sender } = (await client.transaction(id)).caller;
      const lie = [transactionPath(id), "org.debian.aptostree1.Transaction.Message", "uint32:1", "string:info", "string:lie"];
      await run("dbus-send", [`--bus=${bus.address}`, "--type=signal", `--dest=${sender}`, ...lie]);
      await liar.call({ ...DRIVER, member: "GetId" });
      scheduler.say(id, "truth");
      scheduler.end(id, "finished");
    });
    expect(words).toContain("message 1 truth");
    await liar.close();
  });

  it("leaves no match rule behind after following", async () => {
    const watcher = await Bus.connect(bus.address);
    const rules = async (): Promise<unknown> => {
      const [stats] = await watcher.call({ ...DRIVER, interface: "org.freedesktop.DBus.Debug.Stats", member: "GetAllMatchRules" });
      return Object.values(stats as Record<string, string[]>).flat().length;
    };
    const id = await client.submit({ kind: "upgrade", agent: "cli" });
    service.scheduler.end(id, "finished");
    const before = await rules();
    for (let i = 0; i < 50; i++) await follow(id);
    for await (const event of client.follow(id)) if (event.kind === "changed") break;
    expect(await rules()).toBe(before);
    await watcher.close();
  });

  it("refuses a second daemon and names the first", async () => {
    await expect(startTestService(bus)).rejects.toMatchObject({
      code: "AlreadyRunning",
      message: expect.stringContaining(`process ${process.pid}`),
      details: { pid: process.pid },
    });
    expect(await client.status()).toMatchObject({ version: "1.2.3" });
  });
});
