import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bus } from "../../src/dbus/bus.ts";
import { Callers } from "../../src/dbus/caller.ts";
import { transactionPath } from "../../src/dbus/wire.ts";
import { makeRequest } from "../../src/model/request.ts";
import { startBus, type TestBus } from "../harness/bus.ts";
import { type Ran, run, startTestService, type TestService } from "../harness/service.ts";

const NAME = "org.debian.aptostree1";
const ROOT = "/org/debian/aptostree1";
const POLICY = new URL("../../systemd/dbus-1/system.d/org.debian.aptostree1.conf", import.meta.url).pathname;
const SEED_CLIENT = new URL("seed_client.py", import.meta.url).pathname;
const NOBODY = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];

describe.each([
  ["a private bus", { anyUser: true }],
  ["a system bus with our policy", { systemPolicy: POLICY }],
])("on %s", (_what, options) => {
  let bus: TestBus;
  let service: TestService;

  beforeAll(async () => {
    bus = await startBus(options);
    service = await startTestService(bus);
  });
  afterAll(async () => {
    await service.stop();
    await bus.stop();
  });

  const asNobody = (...args: string[]): Promise<Ran> => run("setpriv", [...NOBODY, "busctl", `--address=${bus.address}`, "--no-pager", ...args]);

  it("lets everyone read", async () => {
    expect((await asNobody("call", NAME, ROOT, NAME, "Status")).stdout).toContain("1.2.3");
    expect((await asNobody("call", NAME, ROOT, `${NAME}.Manager`, "ListTransactions", "u", "10")).status).toBe(0);
    service.inspection.sets.set("booted", [{ name: "vim", architecture: "amd64", version: "2:9.1" }]);
    for (const [member, signature, ...args] of [
      ["Revision", "s", "booted"],
      ["Packages", "s", "booted"],
      ["PackageDiff", "ss", "booted", "booted"],
      ["Changelogs", "ss", "booted", "booted"],
      ["Why", "ss", "vim", "booted"],
      ["WhyPlanned", "sas", "vim", "1", "booted"],
      ["WhyNot", "s", "vim"],
    ] as const)
      expect(await asNobody("call", NAME, ROOT, `${NAME}.Database`, member, signature, ...args), member).toMatchObject({ status: 0 });
    expect((await asNobody("call", NAME, ROOT, `${NAME}.Remotes`, "ListRemotes")).status).toBe(0);
    expect((await asNobody("call", NAME, ROOT, `${NAME}.Remotes`, "RemoteRefs", "s", "debian")).stdout).toContain("debian/main");
    expect((await asNobody("get-property", NAME, `${ROOT}/Sysroot`, `${NAME}.Sysroot`, "Epoch")).stdout).toBe("t 1\n");
    expect((await asNobody("introspect", NAME, ROOT)).stdout).toContain(".Install");
    expect((await asNobody("tree", NAME)).stdout).toContain("Sysroot");
  });

  it("lets nobody but root change or cancel anything", async () => {
    const id = service.scheduler.begin(makeRequest("upgrade"), { sender: ":1.99", uid: 0, pid: 1, agent: "" });
    const attempts = [
      ["call", NAME, ROOT, NAME, "Install", "as", "1", "vim"],
      ["call", NAME, ROOT, NAME, "Uninstall", "as", "1", "vim"],
      ["call", NAME, ROOT, NAME, "Upgrade"],
      ["call", NAME, ROOT, NAME, "Rollback"],
      ["call", NAME, ROOT, `${NAME}.Manager`, "Submit", "s", '{"kind":"refresh"}'],
      ["call", NAME, ROOT, `${NAME}.Manager`, "Cancel", "s", id],
      ["call", NAME, ROOT, `${NAME}.Manager`, "Reload"],
      ["call", NAME, ROOT, `${NAME}.Remotes`, "AddRemote", "ss", "evil", '{"url":"http://127.0.0.1/"}'],
      ["call", NAME, ROOT, `${NAME}.Remotes`, "ModifyRemote", "ss", "evil", '{"gpgVerify":false}'],
      ["call", NAME, ROOT, `${NAME}.Remotes`, "DeleteRemote", "sb", "evil", "true"],
      ["call", NAME, transactionPath(id), `${NAME}.Transaction`, "Cancel"],
    ];
    for (const attempt of attempts) {
      const { status, stderr } = await asNobody(...attempt);
      expect([attempt[4], status, stderr]).toEqual([attempt[4], 1, expect.stringContaining("user 65534 may only look")]);
    }
    expect([...service.scheduler.views.values()].map((view) => [view.id, view.state])).toEqual([[id, "queued"]]);
    expect(service.scheduler.status().snapshot.epoch).toBe(1);
    expect(service.remotes.settings.size).toBe(0);
    service.scheduler.end(id, "finished");
  });

  it("lets everyone cancel what is theirs, by the uid and not by the connection", async () => {
    const theirs = { sender: ":1.98", uid: 65534, pid: 1, agent: "" };
    const first = service.scheduler.begin(makeRequest("upgrade"), theirs);
    const second = service.scheduler.begin(makeRequest("refresh"), theirs);
    expect((await asNobody("call", NAME, ROOT, `${NAME}.Manager`, "Cancel", "s", first)).status).toBe(0);
    expect((await asNobody("call", NAME, transactionPath(second), `${NAME}.Transaction`, "Cancel")).status).toBe(0);
    expect([first, second].map((id) => service.scheduler.views.get(id)?.state)).toEqual(["cancelled", "cancelled"]);
    // Root cancels what is anyone's.
    const third = service.scheduler.begin(makeRequest("upgrade"), theirs);
    expect((await run("busctl", [`--address=${bus.address}`, "call", NAME, ROOT, `${NAME}.Manager`, "Cancel", "s", third])).status).toBe(0);
    service.scheduler.views.clear();
  });

  it("serves the Python client of the design document, unchanged", async () => {
    const env = { DBUS_SYSTEM_BUS_ADDRESS: bus.address };
    const status = await run("/usr/bin/python3", [SEED_CLIENT, "status"], env);
    expect(JSON.parse(status.stdout)).toMatchObject({ version: "1.2.3", snapshot: { epoch: 1 } });
    const installed = await run("/usr/bin/python3", [SEED_CLIENT, "install", "vim", "nginx"], env);
    expect(service.scheduler.views.get(installed.stdout.trim())).toMatchObject({ title: "install nginx vim", caller: { uid: 0 } });
  });

  it("remembers who its callers are only while they are there", async () => {
    const observer = await Bus.connect(bus.address);
    const callers = await Callers.start(observer);
    const caller = await Bus.connect(bus.address);
    expect(await callers.of(caller.name)).toEqual({ uid: 0, pid: process.pid });
    expect(callers.size).toBe(1);
    await caller.close();
    await expect.poll(() => callers.size).toBe(0);
    await expect(callers.of(caller.name)).rejects.toMatchObject({ code: "NotAuthorized" });
    expect(callers.size).toBe(0);
    await callers.close();
    await observer.close();
  });
});

it("does not let an ordinary user take the name on a system bus", async () => {
  const bus = await startBus({ systemPolicy: POLICY });
  const request = ["call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName", "su", NAME, "0"];
  const { status, stderr } = await run("setpriv", [...NOBODY, "busctl", `--address=${bus.address}`, ...request]);
  expect([status, stderr]).toEqual([1, expect.stringContaining("Access denied")]);
  await bus.stop();
});

it("refuses an ordinary user on a private bus of root with one clear line", async () => {
  const bus = await startBus();
  const { status } = await run("setpriv", [...NOBODY, "busctl", `--address=${bus.address}`, "list"]);
  expect(status).not.toBe(0);
  await bus.stop();
});

it("is started by the system bus through its systemd unit", async () => {
  const file = await readFile(new URL("../../systemd/dbus-1/system-services/org.debian.aptostree1.service", import.meta.url), "utf8");
  expect(file).toMatch(/^Name=org\.debian\.aptostree1$/m);
  expect(file).toMatch(/^SystemdService=apt-ostreed\.service$/m);
});
