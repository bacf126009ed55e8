import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bus } from "../../src/dbus/bus.ts";
import type { IncomingSignal } from "../../src/dbus/message.ts";
import { osPath, transactionPath } from "../../src/dbus/wire.ts";
import { AptOstreeError } from "../../src/model/errors.ts";
import { makeRequest } from "../../src/model/request.ts";
import { startBus, type TestBus } from "../harness/bus.ts";
import { deployment, snapshot } from "../harness/memory-scheduler.ts";
import { busctl, startTestService, type TestService } from "../harness/service.ts";

const NAME = "org.debian.aptostree1";
const ROOT = "/org/debian/aptostree1";
const CALLER = { sender: ":1.999", uid: 0, pid: 1, agent: "test" };

/** The interfaces of introspection data: interface name to its members, one line each, without comments and layout. */
function membersOf(xml: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let members: string[] = [];
  for (const [tag] of xml.replace(/<!--[\s\S]*?-->/g, "").matchAll(/<[a-z][^>]*>/g)) {
    const attributes = Object.fromEntries([...tag.matchAll(/([a-z]+)="([^"]*)"/g)].map(([, key, value]) => [key, value]));
    const kind = /^<([a-z]+)/.exec(tag)?.[1];
    if (kind === "interface") {
      members = [];
      found.set(attributes.name as string, members);
    } else if (kind === "arg") members[members.length - 1] += ` ${attributes.direction ?? ""}:${attributes.name}:${attributes.type}`;
    else if (kind !== "node") members.push(`${kind} ${attributes.name} ${attributes.type ?? ""} ${attributes.access ?? ""}`);
  }
  for (const list of found.values()) list.sort();
  return found;
}

describe("the api on the bus", () => {
  let bus: TestBus;
  let service: TestService;
  let client: Bus;

  beforeAll(async () => {
    bus = await startBus();
    service = await startTestService(bus);
    client = await Bus.connect(bus.address);
  });
  afterAll(async () => {
    await client.close();
    await service.stop();
    await bus.stop();
  });

  const call = (path: string, iface: string, member: string, signature = "", body: readonly unknown[] = []) =>
    client.call({ destination: NAME, path, interface: iface, member, signature, body });
  const properties = (path: string, iface: string) => call(path, "org.freedesktop.DBus.Properties", "GetAll", "s", [iface]);

  /** The signals that `doing` leads to, until `last` has come. */
  async function signalsOf(doing: () => unknown, last: (signal: IncomingSignal) => boolean): Promise<IncomingSignal[]> {
    const heard: IncomingSignal[] = [];
    let stop: () => unknown = () => {};
    const complete = new Promise<void>((resolve) => {
      stop = client.onSignal((signal) => {
        if (!signal.path.startsWith(ROOT)) return;
        heard.push(signal);
        if (last(signal)) resolve();
      });
    });
    const release = await client.addMatch(`type='signal',sender='${NAME}'`);
    await doing();
    await complete;
    stop();
    await release();
    return heard;
  }

  it("is introspected exactly as the commented XML file says", async () => {
    const expected = membersOf(await readFile(new URL("../../systemd/org.debian.aptostree1.xml", import.meta.url), "utf8"));
    const id = service.scheduler.begin(makeRequest("upgrade"), CALLER);
    const served = new Map<string, string[]>();
    for (const path of [ROOT, `${ROOT}/Sysroot`, osPath("debian"), transactionPath(id)]) {
      const [xml] = await call(path, "org.freedesktop.DBus.Introspectable", "Introspect");
      for (const [name, members] of membersOf(xml as string)) if (!name.startsWith("org.freedesktop.")) served.set(name, members);
    }
    expect(Object.fromEntries(served)).toEqual(Object.fromEntries(expected));
    service.scheduler.end(id, "finished");
  });

  it("shows every object to busctl tree, from the root on", async () => {
    const id = service.scheduler.begin(makeRequest("upgrade"), CALLER);
    const { stdout } = await busctl(bus, "tree", "--list", NAME);
    const paths = stdout.trim().split("\n");
    expect(paths).toEqual(
      expect.arrayContaining(["/", "/org", "/org/debian", ROOT, `${ROOT}/Sysroot`, `${ROOT}/os`, osPath("debian"), transactionPath(id)]),
    );
    service.scheduler.end(id, "finished");
  });

  it("is read by busctl introspect, call and get-property", async () => {
    const introspected = await busctl(bus, "introspect", NAME, ROOT);
    expect(introspected.stdout).toMatch(/\.Install +method +as +s/);
    expect(introspected.stdout).toMatch(/\.TransactionProgress +signal +sis/);
    const status = await busctl(bus, "--json=short", "call", NAME, ROOT, NAME, "Status");
    const value = JSON.parse(JSON.parse(status.stdout).data[0]);
    expect(value).toMatchObject({ version: "1.2.3", snapshot: { epoch: 1 }, transactions: [] });
    expect((await busctl(bus, "get-property", NAME, ROOT, `${NAME}.Manager`, "Version")).stdout).toBe('s "1.2.3"\n');
    expect((await busctl(bus, "get-property", NAME, `${ROOT}/Sysroot`, `${NAME}.Sysroot`, "Booted")).stdout).toBe(`o "${osPath("debian")}"\n`);
  });

  it("answers Peer on every object", async () => {
    await call(ROOT, "org.freedesktop.DBus.Peer", "Ping");
    const [id] = await call("/org", "org.freedesktop.DBus.Peer", "GetMachineId");
    expect(id).toMatch(/^[0-9a-f]{32}$/);
  });

  it("lets no property be set", async () => {
    const set = await busctl(bus, "set-property", NAME, ROOT, `${NAME}.Manager`, "Version", "s", "666");
    expect(set.status).not.toBe(0);
    expect(set.stderr).toContain("read-only");
    await expect(call(ROOT, "org.freedesktop.DBus.Properties", "GetAll", "s", [`${NAME}.Manager`])).resolves.toEqual([{ Version: "1.2.3" }]);
  });

  it.each([
    ["a wrong signature", ROOT, NAME, "Install", "s", ["vim"], "InvalidArgs"],
    ["an argument too many", ROOT, NAME, "Status", "s", ["x"], "InvalidArgs"],
    ["an unknown method", ROOT, NAME, "Explode", "", [], "UnknownMethod"],
    ["a method that every JavaScript object has", ROOT, NAME, "toString", "", [], "UnknownMethod"],
    ["an unknown interface", ROOT, `${NAME}.Nothing`, "Status", "", [], "UnknownInterface"],
    ["an unknown object", `${ROOT}/nothing`, NAME, "Status", "", [], "UnknownObject"],
    ["an unknown property", ROOT, "org.freedesktop.DBus.Properties", "Get", "ss", [`${NAME}.Manager`, "constructor"], "UnknownProperty"],
    ["properties of an unknown interface", ROOT, "org.freedesktop.DBus.Properties", "GetAll", "s", [`${NAME}.Nothing`], "UnknownInterface"],
  ])("refuses %s with the standard error", async (_what, path, iface, member, signature, body, error) => {
    await expect(call(path, iface, member, signature, body)).rejects.toMatchObject({ errorName: `org.freedesktop.DBus.Error.${error}` });
  });

  it.each([
    ["a package name that looks like an option", "Install", "as", [["--force"]], "InvalidRequest"],
    ["no packages", "Install", "as", [[]], "InvalidRequest"],
  ])("refuses %s with our error", async (_what, member, signature, body, code) => {
    await expect(call(ROOT, NAME, member, signature, body)).rejects.toMatchObject({ errorName: `${NAME}.Error.${code}` });
  });

  it.each([
    ["what is not JSON", "{", "InvalidRequest"],
    ["an array", "[]", "InvalidRequest"],
    ["an option it does not know", '{"kind":"upgrade","force":true}', "InvalidRequest"],
    ["an unknown kind", '{"kind":"explode"}', "InvalidRequest"],
    ["to undo nothing", '{"kind":"undo"}', "InvalidRequest"],
    ["to undo what is no id", '{"kind":"undo","undoes":"x"}', "InvalidRequest"],
    ["to undo a number", '{"kind":"undo","undoes":7}', "InvalidRequest"],
    ["packages that are numbers", '{"kind":"install","packages":[1]}', "InvalidRequest"],
    ["a class it does not know", '{"kind":"upgrade","class":"vip"}', "InvalidRequest"],
    ["waiting that is neither yes nor no", '{"kind":"upgrade","noWait":"yes"}', "InvalidRequest"],
    ["a wait of more than a week", '{"kind":"upgrade","waitTimeoutMs":604800001}', "InvalidRequest"],
    ["a wait of less than nothing", '{"kind":"upgrade","waitTimeoutMs":-1}', "InvalidRequest"],
    ["a wait that may not be", '{"kind":"upgrade","noWait":true,"waitTimeoutMs":1000}', "InvalidRequest"],
  ])("refuses to submit %s", async (_what, request, code) => {
    await expect(call(ROOT, `${NAME}.Manager`, "Submit", "s", [request])).rejects.toMatchObject({ errorName: `${NAME}.Error.${code}` });
  });

  it("says NotFound for ids that do not exist or are none", async () => {
    for (const id of ["000000000000", "../../etc", ""]) {
      await expect(call(ROOT, `${NAME}.Manager`, "GetTransaction", "s", [id])).rejects.toMatchObject({ errorName: `${NAME}.Error.NotFound` });
    }
  });

  it("journals what every verb asks for, with the caller as the bus vouches for it", async () => {
    const verbs: [string, string, unknown[]][] = [
      ["Install", "as", [["vim", "nginx"]]],
      ["Uninstall", "as", [["vim"]]],
      ["Upgrade", "", []],
      ["Rollback", "", []],
    ];
    for (const [member, signature, body] of verbs) {
      const [id] = await call(ROOT, NAME, member, signature, body);
      const view = service.scheduler.views.get(id as string);
      expect(view).toMatchObject({ kind: member.toLowerCase(), caller: { sender: client.name, uid: 0, pid: process.pid, agent: "" } });
      service.scheduler.end(id as string, "finished");
    }
    const [id] = await call(ROOT, `${NAME}.Manager`, "Submit", "s", [
      JSON.stringify({ kind: "cleanup", targets: ["repomd"], idempotent: true, agent: "cli" }),
    ]);
    expect(service.scheduler.views.get(id as string)).toMatchObject({ request: { targets: ["repomd"], idempotent: true }, caller: { agent: "cli" } });
    await call(transactionPath(id as string), `${NAME}.Transaction`, "Cancel");
    expect(service.scheduler.views.get(id as string)?.state).toBe("cancelled");
  });

  it("passes on how a request is to wait; the plain verbs wait as a person does", async () => {
    const submit = async (values: object) => {
      const [id] = await call(ROOT, `${NAME}.Manager`, "Submit", "s", [JSON.stringify({ kind: "upgrade", ...values })]);
      service.scheduler.end(id as string, "finished");
      return service.scheduler.scheduled.get(id as string);
    };
    const usual = { requestClass: "interactive", noWait: false, waitTimeoutMs: 0 };
    expect(await submit({})).toEqual(usual);
    expect(await submit({ class: "gui", waitTimeoutMs: 604_800_000 })).toEqual({ ...usual, requestClass: "gui", waitTimeoutMs: 604_800_000 });
    expect(await submit({ class: "timer", noWait: true, waitTimeoutMs: 0 })).toEqual({ ...usual, requestClass: "timer", noWait: true });
    const [id] = await call(ROOT, NAME, "Upgrade");
    expect(service.scheduler.scheduled.get(id as string)).toEqual(usual);
    service.scheduler.end(id as string, "finished");
  });

  it("takes the transaction that is to be undone", async () => {
    const [id] = await call(ROOT, `${NAME}.Manager`, "Submit", "s", ['{"kind":"undo","undoes":"7f3a5c9d1e20"}']);
    expect(service.scheduler.views.get(id as string)).toMatchObject({ title: "undo 7f3a5c9d1e20", request: { undoes: "7f3a5c9d1e20" } });
    service.scheduler.end(id as string, "finished");
  });

  it("shows the locks to everyone who asks", async () => {
    service.scheduler.locks = { ...service.scheduler.locks, historyLength: 12 };
    const [report] = await call(ROOT, `${NAME}.Manager`, "DebugLocks");
    expect(JSON.parse(report as string)).toEqual(service.scheduler.locks);
  });

  it("answers Busy with the holder that the scheduler names", async () => {
    const busy = new AptOstreeError("Busy", "cannot upgrade: sysroot is held by install vim (7f3a5c9d1e20)");
    service.scheduler.overrides.submit = () => Promise.reject(busy);
    await expect(call(ROOT, `${NAME}.Manager`, "Submit", "s", ['{"kind":"upgrade","noWait":true}'])).rejects.toMatchObject({
      errorName: `${NAME}.Error.Busy`,
      message: busy.message,
    });
    service.scheduler.overrides = {};
  });

  it("tells of an estimate by the second, not by the millisecond", async () => {
    const { scheduler } = service;
    const id = scheduler.begin(makeRequest("upgrade"), CALLER, { requestClass: "timer", noWait: false, waitTimeoutMs: 0 });
    const heard = await signalsOf(
      () => {
        scheduler.change(id, { eta: { p50Ms: 39_900, p90Ms: 80_000 }, warning: "assembling makes no progress" });
        for (let ms = 0; ms < 950; ms++) scheduler.change(id, { eta: { p50Ms: 39_900 - ms, p90Ms: 80_000 - ms } });
        scheduler.end(id, "finished");
      },
      (signal) => signal.member === "Finished",
    );
    const changes = heard.filter(({ path, member }) => path === transactionPath(id) && member === "PropertiesChanged").map(({ body }) => body[1]);
    expect(changes[0]).toEqual({ EtaP50Ms: 40_000n, EtaP90Ms: 80_000n, Warning: "assembling makes no progress" });
    expect(changes.filter((one) => Object.keys(one as object).every((name) => name.startsWith("Eta")))).toEqual([{ EtaP50Ms: 39_000n }]);
    expect(await properties(transactionPath(id), `${NAME}.Transaction`)).toMatchObject([
      { Class: "timer", Resumed: 0, CreatedMs: BigInt(scheduler.views.get(id)?.createdMs ?? 0) },
    ]);
  });

  it("answers with the id before it tells anything of the transaction", async () => {
    // What left the service, in the order of the wire.
    const monitor = spawn("dbus-monitor", ["--address", bus.address, "--profile", `sender='${service.bus.name}'`]);
    const lines = createInterface({ input: monitor.stdout });
    const order: string[] = [];
    const seen = new Promise<void>((resolve) => {
      lines.on("line", (line) => {
        const [type, , , , destination, , , member = ""] = line.split("\t");
        if (type === "mr" && destination === client.name) order.push("answer");
        if (type === "sig") order.push(member);
        if (member === "Finished") resolve();
      });
    });
    await new Promise((resolve) => lines.once("line", resolve));
    service.scheduler.overrides.submit = async (request, caller) => {
      const id = service.scheduler.begin(request, caller);
      service.scheduler.say(id, "first");
      service.scheduler.progress(id, 10, "working");
      service.scheduler.end(id, "finished");
      await new Promise((resolve) => setTimeout(resolve, 20));
      return id;
    };
    await call(ROOT, NAME, "Upgrade");
    await seen;
    monitor.kill();
    service.scheduler.overrides = {};
    expect(order.filter((member) => !["PropertiesChanged", "NameAcquired", "NameLost"].includes(member))).toEqual([
      "answer",
      "InterfacesAdded",
      "Message",
      "Progress",
      "TransactionProgress",
      "Finished",
    ]);
  });

  it("tells of progress, messages and the end, the end once, and only what changed", async () => {
    const { scheduler } = service;
    const id = scheduler.begin(makeRequest("install", { packages: ["vim"] }), CALLER);
    const path = transactionPath(id);
    const heard = await signalsOf(
      () => {
        scheduler.change(id, { state: "planning", position: 0 });
        scheduler.progress(id, 42.4, "unpacking vim");
        scheduler.say(id, "hello");
        scheduler.end(id, "failed");
        scheduler.emit("finished", scheduler.views.get(id) as never);
        scheduler.publish(snapshot(99));
      },
      (signal) => signal.path.endsWith("Sysroot") && signal.member === "PropertiesChanged" && "Epoch" in (signal.body[1] as object),
    );
    const of = (member: string) =>
      heard.filter((signal) => signal.member === member && !signal.path.endsWith("Sysroot")).map((signal) => signal.body);
    expect(of("PropertiesChanged")).toEqual([
      [`${NAME}.Transaction`, { State: "planning", Position: 0 }, []],
      [`${NAME}.Transaction`, { Percent: 42.4, Text: "unpacking vim" }, []],
      [`${NAME}.Transaction`, { State: "failed", Cancellable: false }, []],
    ]);
    expect(of("Progress")).toEqual([[42.4, "unpacking vim", 424n, 1000n]]);
    expect(of("TransactionProgress")).toEqual([[id, 42, "unpacking vim"]]);
    expect(of("Message")).toEqual([[1, "info", "hello"]]);
    expect(of("Finished")).toEqual([["failed", "ScriptFailed", "cannot assemble: postinst of vim failed"]]);
    // The object stays, for whoever comes late.
    expect(await properties(path, `${NAME}.Transaction`)).toMatchObject([{ Id: id, State: "failed", Client: [":1.999", 0, "test"], Result: "" }]);
  });

  it("manages its objects: all of them at once, and signals when they come and go", async () => {
    const { scheduler } = service;
    let id = "";
    const heard = await signalsOf(
      () => {
        id = scheduler.begin(makeRequest("upgrade"), CALLER);
        scheduler.publish(snapshot(100, [deployment("debian", 0, { booted: true }), deployment("it's", 1)]));
        scheduler.publish(snapshot(101));
      },
      (signal) => signal.member === "InterfacesRemoved",
    );
    const added = heard.filter((signal) => signal.member === "InterfacesAdded").map((signal) => signal.body);
    expect(added[0]).toMatchObject([transactionPath(id), { [`${NAME}.Transaction`]: { Id: id, State: "queued" } }]);
    expect(added[1]).toMatchObject([
      `${ROOT}/os/it_27s`,
      { [`${NAME}.OS`]: { Name: "it's", BootedDeployment: {}, DefaultDeployment: { version: "13.1" } } },
    ]);
    expect(heard.at(-1)?.body).toEqual([`${ROOT}/os/it_27s`, [`${NAME}.OS`]]);
    const [managed] = (await call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")) as [Record<string, Record<string, object>>];
    expect(managed[transactionPath(id)]).toMatchObject({ [`${NAME}.Transaction`]: { Kind: "upgrade" } });
    expect(managed[`${ROOT}/Sysroot`]).toMatchObject({
      [`${NAME}.Sysroot`]: { Epoch: 101n, Path: "/", ActiveTransactions: expect.arrayContaining([transactionPath(id)]) },
    });
    expect(Object.keys(managed)).not.toContain(ROOT);
    scheduler.end(id, "finished");
  });

  it("keeps the objects of the last hundred ended transactions", async () => {
    const ids = Array.from({ length: 101 }, () => service.scheduler.begin(makeRequest("upgrade"), CALLER));
    for (const id of ids) service.scheduler.end(id, "finished");
    await expect(properties(transactionPath(ids[0] as string), `${NAME}.Transaction`)).rejects.toMatchObject({
      errorName: "org.freedesktop.DBus.Error.UnknownObject",
    });
    await expect(properties(transactionPath(ids[1] as string), `${NAME}.Transaction`)).resolves.toBeDefined();
  });
});
