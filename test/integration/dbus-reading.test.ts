/** Questions about packages, and remotes, over the bus. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DaemonClient } from "../../src/dbus/client.ts";
import { startBus, type TestBus } from "../harness/bus.ts";
import { startTestService, type TestService } from "../harness/service.ts";

const one = (name: string, version = "1") => ({ name, architecture: "amd64", version });

describe("a client that asks about packages", () => {
  let bus: TestBus;
  let service: TestService;
  let client: DaemonClient;

  beforeEach(async () => {
    bus = await startBus();
    service = await startTestService(bus);
    client = await DaemonClient.connect(bus.address);
    service.inspection.sets.set("booted", [one("a"), one("b")]);
    service.inspection.sets.set("pending", [one("a", "2"), one("b"), one("c")]);
  });
  afterEach(async () => {
    await client.close();
    await service.stop();
    await bus.stop();
  });

  it("gets lists, differences and reasons as values, and errors as they were", async () => {
    expect(await client.packages("booted")).toMatchObject({ revision: { name: "booted" }, packages: [one("a"), one("b")] });
    expect((await client.packageDiff("booted", "pending")).changes).toEqual([
      { name: "a", architecture: "amd64", from: "1", to: "2" },
      { name: "c", architecture: "amd64", from: "", to: "1" },
    ]);
    expect(await client.changelogs("booted", "pending")).toHaveLength(2);
    expect(await client.revision("pending")).toMatchObject({ name: "pending" });
    expect(await client.why("a", "booted")).toMatchObject({ reason: "base" });
    expect(await client.whyNot("zz")).toMatchObject({ verdict: "unknown" });
    await expect(client.packages("gone")).rejects.toMatchObject({ code: "NotFound", message: expect.stringContaining("booted, pending") });
    await expect(client.why("zz", "booted")).rejects.toMatchObject({ code: "NotFound" });
  });

  it("with too many questions open is refused, and other things go on; later it may ask again", async () => {
    let answer = (): void => undefined;
    const held = new Promise<void>((resolve) => (answer = resolve));
    let asked = 0;
    const question = vi.spyOn(service.inspection, "whyNot").mockImplementation(async (_snapshot, spec) => {
      asked += 1;
      await held;
      return { spec, verdict: "present", summary: "", reasons: [], explanation: [], versions: [], similar: [] };
    });
    const open = Array.from({ length: 16 }, () => client.whyNot("a"));
    await expect.poll(() => asked).toBe(16);
    await expect(client.packages("booted")).rejects.toMatchObject({ code: "Unavailable", message: expect.stringContaining("16 questions open") });
    expect((await client.status()).version).toBe("1.2.3");
    expect(await client.remotes()).toEqual([]);
    answer();
    expect(await Promise.all(open)).toHaveLength(16);
    question.mockRestore();
    expect((await client.packages("booted")).packages).toHaveLength(2);
  });

  it("is refused with too many questions about remotes open, each sort apart, and may ask again later", async () => {
    await client.addRemote("debian", { url: "http://127.0.0.1/" });
    let answer = (): void => undefined;
    const held = new Promise<void>((resolve) => (answer = resolve));
    const refs = vi.spyOn(service.remotes, "refs").mockImplementation(() => held.then(() => []));
    const lists = vi.spyOn(service.remotes, "list").mockImplementation(() => held.then(() => []));
    const busy = { code: "Unavailable", message: expect.stringContaining("questions open") };

    const asked = Array.from({ length: 4 }, () => client.remoteRefs("debian"));
    await expect.poll(() => refs.mock.calls.length).toBe(4);
    await expect(client.remoteRefs("debian")).rejects.toMatchObject(busy);
    const listed = Array.from({ length: 16 }, () => client.remotes());
    await expect.poll(() => lists.mock.calls.length).toBe(16);
    await expect(client.remotes()).rejects.toMatchObject(busy);
    expect((await client.packages("booted")).packages).toHaveLength(2);

    answer();
    expect(await Promise.all([...asked, ...listed])).toHaveLength(20);
    refs.mockRestore();
    lists.mockRestore();
    expect(await client.remoteRefs("debian")).toHaveLength(1);
    expect(await client.remotes()).toHaveLength(1);
  });

  it("gets as much of a list as a message may carry", async () => {
    service.inspection.sets.set(
      "huge",
      Array.from({ length: 3000 }, (_, i) => one(`p${i}`, "1".repeat(4000))),
    );
    const { packages } = await client.packages("huge");
    expect(packages.length).toBeGreaterThan(1000);
    expect(packages.length).toBeLessThan(3000);
  });

  it("changes remotes with settings that were checked", async () => {
    await client.addRemote("debian", { url: "http://127.0.0.1/", gpgVerify: false });
    await client.modifyRemote("debian", { branches: ["a/b"] });
    expect(service.remotes.settings.get("debian")).toEqual({ url: "http://127.0.0.1/", gpgVerify: false, branches: ["a/b"] });
    expect(await client.remotes()).toMatchObject([{ name: "debian" }]);
    expect(await client.remoteRefs("debian")).toMatchObject([{ ref: "debian/main" }]);
    await expect(client.addRemote("x\n", {})).rejects.toMatchObject({ code: "InvalidRequest" });
    await expect(client.addRemote("x", { url: "http://a/\nb" })).rejects.toMatchObject({ code: "InvalidRequest" });
    await expect(client.addRemote("x", { other: 1 } as object)).rejects.toMatchObject({ code: "InvalidRequest" });
    await client.deleteRemote("debian", true);
    expect([...service.remotes.settings.keys()]).toEqual([]);
  });
});
