import { connect as connectSocket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bus, DRIVER, variant } from "../../src/dbus/bus.ts";
import { AptOstreeError } from "../../src/model/errors.ts";
import { makeRequest } from "../../src/model/request.ts";
import type { StatusView } from "../../src/scheduler/api.ts";
import { startBus, type TestBus } from "../harness/bus.ts";
import { deployment, snapshot } from "../harness/memory-scheduler.ts";
import { startTestService, type TestService } from "../harness/service.ts";

const NAME = "org.debian.aptostree1";
const ROOT = "/org/debian/aptostree1";

describe("when things go wrong on the bus", () => {
  let bus: TestBus;
  let service: TestService;
  let client: Bus;

  beforeEach(async () => {
    bus = await startBus();
    service = await startTestService(bus);
    client = await Bus.connect(bus.address);
  });
  afterEach(async () => {
    await client.close();
    await service.stop();
    await bus.stop();
  });

  const call = (member: string, signature = "", body: readonly unknown[] = [], iface = NAME) =>
    client.call({ destination: NAME, path: ROOT, interface: iface, member, signature, body, timeoutMs: 60_000 });

  it.each([
    ["undefined", undefined],
    ["null", null],
    ["a string", "secret /var/lib/thing"],
    ["an error with a stack", new Error("secret /var/lib/thing")],
    ["an object that cannot become a string", Object.create(null)],
    ["an error of ours that means a bug", new AptOstreeError("Internal", "secret /var/lib/thing")],
  ])("answers Internal, tells nothing and logs once when a handler throws %s", async (_what, thrown) => {
    service.scheduler.overrides.submit = () => Promise.reject(thrown);
    await expect(call("Upgrade")).rejects.toMatchObject({ errorName: `${NAME}.Error.Internal`, message: expect.not.stringMatching(/secret|\/|at /) });
    expect(service.logged.filter((line) => Number(line.level) >= 50)).toHaveLength(1);
    // And lives on.
    service.scheduler.overrides = {};
    await expect(call("Status")).resolves.toHaveLength(1);
  });

  it("answers with our errors as they are, even with a character the bus does not take", async () => {
    service.scheduler.overrides.submit = () => Promise.reject(new AptOstreeError("Busy", "cannot install: \0busy"));
    await expect(call("Upgrade")).rejects.toMatchObject({ errorName: `${NAME}.Error.Busy`, message: "cannot install: busy" });
  });

  it("calls a full disk by its name", async () => {
    service.scheduler.overrides.submit = () => Promise.reject(Object.assign(new Error("ENOSPC: /var/x"), { code: "ENOSPC" }));
    await expect(call("Upgrade")).rejects.toMatchObject({ errorName: `${NAME}.Error.NoSpace` });
  });

  it.each([
    ["undefined", undefined],
    ["a number", 7],
    ["a string with NUL", "a\0b"],
    ["more than the bus carries", "x".repeat(17 * 1024 * 1024)],
  ])("answers Internal when a handler returns %s instead of an id", async (_what, value) => {
    service.scheduler.overrides.submit = async () => value as string;
    await expect(call("Upgrade")).rejects.toMatchObject({ errorName: `${NAME}.Error.Internal` });
  });

  it("answers Internal when the state cannot be shown", async () => {
    service.scheduler.overrides.status = () => ({ snapshot: 1n }) as unknown as StatusView;
    await expect(call("Status")).rejects.toMatchObject({ errorName: `${NAME}.Error.Internal` });
  });

  it("stays on the bus when an event holds what cannot be sent", async () => {
    const { scheduler } = service;
    const id = scheduler.begin(makeRequest("upgrade"), { sender: ":1.9", uid: 0, pid: 1, agent: "" });
    scheduler.progress(id, Number.NaN, "broken");
    scheduler.publish(snapshot(2, [deployment("", 0)]));
    scheduler.publish(snapshot(3));
    scheduler.end(id, "finished");
    await expect(call("Status")).resolves.toHaveLength(1);
  });

  it("does what calls without an answer ask for, and answers neither those that succeed nor those that fail", async () => {
    const { received, hangUp } = await rawCalls(bus.address, [
      { member: "Rollback", flags: 1 },
      { member: "Explode", flags: 1 },
      { member: "Detonate" },
    ]);
    expect(received.match(/org\.freedesktop\.DBus\.Error\.\w+/g)).toEqual(["org.freedesktop.DBus.Error.UnknownMethod"]);
    expect(received).toContain("Detonate");
    await expect.poll(() => [...service.scheduler.views.values()].map((view) => view.kind)).toEqual(["rollback"]);
    hangUp();
  });

  it("answers calls with a file descriptor that never came, and lives on", async () => {
    const descriptor = Buffer.from([0, 0, 0, 0]);
    const bare = await rawCalls(bus.address, [{ member: "Status", signature: "h", body: descriptor }]);
    expect(bare.received).toContain("Error.InvalidArgs");
    bare.hangUp();
    const held = Buffer.concat([stringOf(`${NAME}.Manager`), stringOf("Version"), Buffer.from([1, 0x68, 0, 0]), descriptor]);
    const inside = await rawCalls(bus.address, [{ member: "Set", interface: "org.freedesktop.DBus.Properties", signature: "ssv", body: held }]);
    expect(inside.received).toContain("Error.PropertyReadOnly");
    inside.hangUp();
    await expect(call("Status")).resolves.toHaveLength(1);
  });

  it("refuses a call that is too long to be read in passing", async () => {
    await expect(call("Submit", "s", ["x".repeat(2 * 1024 * 1024)], `${NAME}.Manager`)).rejects.toMatchObject({
      errorName: "org.freedesktop.DBus.Error.LimitsExceeded",
    });
    await expect(call("Status")).resolves.toHaveLength(1);
  });

  it("refuses a setting of a property that would take long to decode", async () => {
    const value = { signature: "as", value: Array.from({ length: 20_000 }, () => "") };
    const set = client.call({
      destination: NAME,
      path: ROOT,
      interface: "org.freedesktop.DBus.Properties",
      member: "Set",
      signature: "ssv",
      body: [`${NAME}.Manager`, "Version", variant(value.signature, value.value)],
    });
    await expect(set).rejects.toMatchObject({ errorName: "org.freedesktop.DBus.Error.LimitsExceeded" });
  });

  it("fails every open and new call at once when the bus dies", async () => {
    service.scheduler.overrides.submit = () => new Promise(() => {});
    const open = call("Upgrade");
    const refused = expect(open).rejects.toMatchObject({ code: "Unavailable" });
    await call("Status");
    process.kill(bus.pid, "SIGKILL");
    await refused;
    await expect(call("Status")).rejects.toMatchObject({ code: "Unavailable" });
    expect((await client.closed)?.code).toBe("Unavailable");
    expect((await service.bus.closed)?.code).toBe("Unavailable");
    // What happens afterwards has nobody to be told to, and breaks nothing.
    service.scheduler.publish(snapshot(2));
    service.scheduler.overrides = {};
  });

  it("gives a call up at its deadline", async () => {
    service.scheduler.overrides.submit = () => new Promise(() => {});
    const late = client.call({ destination: NAME, path: ROOT, interface: NAME, member: "Upgrade", timeoutMs: 100 });
    await expect(late).rejects.toMatchObject({ code: "Unavailable", message: expect.stringContaining("0.1 s") });
  });

  it("leaves no match rule behind", async () => {
    const rules = async (): Promise<unknown> => {
      const [stats] = await client.call({
        ...DRIVER,
        interface: "org.freedesktop.DBus.Debug.Stats",
        member: "GetConnectionStats",
        signature: "s",
        body: [client.name],
      });
      return (stats as { MatchRules?: number }).MatchRules ?? 0;
    };
    const before = await rules();
    for (let round = 0; round < 20; round++) {
      const releases = await Promise.all(Array.from({ length: 30 }, (_, i) => client.addMatch(`type='signal',path='/a/${i % 3}'`)));
      expect(await rules()).toBe(Number(before) + 3);
      await Promise.all(releases.map((release) => release()));
      await releases[0]?.();
    }
    expect(await rules()).toBe(before);
  });

  it("says which addresses it cannot connect to", async () => {
    await expect(Bus.connect("unix:path=/nowhere/at/all")).rejects.toMatchObject({ code: "Unavailable", message: expect.stringContaining("ENOENT") });
    for (const address of ["", "tcp:host=localhost,port=1", "nonsense", "unix:", "unix:path=%ZZ"]) {
      await expect(Bus.connect(address)).rejects.toMatchObject({ code: "InvalidRequest" });
    }
  });

  it("says so when the bus takes no more connections", async () => {
    const small = await startBus({ limits: { max_connections_per_user: 1 } });
    const first = await Bus.connect(small.address);
    await expect(Bus.connect(small.address)).rejects.toMatchObject({
      code: "Unavailable",
      message: expect.stringContaining("maximum number of active connections"),
    });
    await first.close();
    await small.stop();
  });

  it("connects to the first address of a list that works", async () => {
    const second = await Bus.connect(`unix:path=/nowhere/at/all;${bus.address}`);
    expect(second.name).toMatch(/^:1\./);
    await second.close();
    expect(await second.closed).toBeNull();
  });
});

interface RawCall {
  readonly member: string;
  readonly interface?: string;
  readonly flags?: number;
  readonly signature?: string;
  readonly body?: Buffer;
}

/** Makes calls that no library would, and gives everything that came back as text, up to the first error. */
function rawCalls(address: string, calls: readonly RawCall[]): Promise<{ received: string; hangUp: () => void }> {
  const hello = [fieldOf(1, "o", DRIVER.path), fieldOf(2, "s", DRIVER.interface), fieldOf(3, "s", "Hello"), fieldOf(6, "s", DRIVER.destination)];
  const messages = calls.map(({ member, flags = 0, signature, body, ...target }, index) => {
    const fields = [fieldOf(1, "o", ROOT), fieldOf(2, "s", target.interface ?? NAME), fieldOf(3, "s", member), fieldOf(6, "s", NAME)];
    if (signature !== undefined) fields.push(fieldOf(8, "g", signature));
    return messageOf(index + 2, flags, fields, body ?? Buffer.alloc(0));
  });
  return new Promise((resolve, reject) => {
    const socket = connectSocket(/path=([^,]*)/.exec(address)?.[1] as string);
    let received = "";
    socket.setTimeout(60_000, () => socket.destroy(new Error(`no answer, only ${received}`)));
    socket.on("error", reject);
    socket.write("\0AUTH EXTERNAL 30\r\n");
    socket.on("data", (chunk) => {
      if (received === "") socket.write(Buffer.concat([Buffer.from("BEGIN\r\n"), messageOf(1, 0, hello, Buffer.alloc(0)), ...messages]));
      received += chunk.toString("latin1");
      if (received.includes("DBus.Error")) resolve({ received, hangUp: () => socket.destroy() });
    });
  });
}

/** A message in bytes (D-Bus specification, "Message Format"). */
function messageOf(serial: number, flags: number, fields: readonly Buffer[], body: Buffer): Buffer {
  const padded = Buffer.concat(fields.map((one, index) => (index + 1 < fields.length ? pad(one) : one)));
  const header = Buffer.alloc(16);
  header.set([0x6c, 1, flags, 1]);
  header.writeUInt32LE(body.length, 4);
  header.writeUInt32LE(serial, 8);
  header.writeUInt32LE(padded.length, 12);
  return Buffer.concat([header, pad(padded), body]);
}

function fieldOf(code: number, type: string, value: string): Buffer {
  const length = type === "g" ? Buffer.from([value.length]) : Buffer.from([value.length, 0, 0, 0]);
  return Buffer.concat([Buffer.from([code, 1, type.charCodeAt(0), 0]), length, Buffer.from(`${value}\0`)]);
}

function stringOf(value: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(value.length);
  return Buffer.concat([length, Buffer.from(value), Buffer.alloc(4 - (value.length % 4))]);
}

function pad(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);
}
