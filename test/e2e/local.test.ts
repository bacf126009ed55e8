/** Packages from files and addresses: kept by their content, whatever becomes of the source. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DebOptions, makeDeb } from "../harness/debs.ts";
import { World } from "../harness/world.ts";

const DATA = { name: "tool-data", version: "1", files: { "/usr/share/tool-data": "data\n" } };
const tool = (version: string): DebOptions => ({ name: "tool", version, depends: "tool-data", files: { "/usr/share/tool": `tool ${version}\n` } });
const LOCAL = /^tool:all=1@[0-9a-f]{64}$/;

describe("packages from files", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-local");
    await world.offer(DATA);
  });
  afterAll(() => world?.close());

  /** Builds a package where the host sees it; its path there. */
  async function place(options: DebOptions): Promise<string> {
    return (await makeDeb(world.host.layout.repos, options)).replace(world.host.layout.repos, "/run/sandbox/repos");
  }

  test("are layered with what they depend on, and outlive their source", async () => {
    const path = await place(tool("1"));
    await world.ok("install", path);
    const next = await world.next();
    expect(next.origin).toMatchObject({ requested: [], requestedLocal: [expect.stringMatching(LOCAL)] });
    expect(next.layered.map((p) => p.name)).toEqual(["tool", "tool-data"]);
    expect(await readFile(join(next.directory, "usr/share/tool"), "utf8")).toBe("tool 1\n");
    expect(await world.ok("status")).toContain("LocalPackages: tool 1");
    await world.host.exec("rm", [path]);
    await world.ok("cleanup", "--base");
    await world.publish({ ...DATA, version: "2" });
    await world.ok("upgrade");
    expect((await world.next()).layered).toMatchObject([
      { name: "tool", version: "1" },
      { name: "tool-data", version: "2" },
    ]);
    await world.expectSound();
  });

  test("are the same request wherever the same content lies, and give way to a newer file", async () => {
    const again = await place(tool("1"));
    expect((await world.cli("install", "--unchanged-exit-77", again)).status).toBe(77);
    await world.ok("install", await place(tool("3")));
    expect((await world.next()).layered).toMatchObject([{ version: "3" }, {}]);
    await world.ok("uninstall", "tool");
    expect((await world.next()).origin).toMatchObject({ requestedLocal: [] });
    expect((await world.next()).layered).toEqual([]);
  });

  test("come from an address too", async () => {
    await world.publish(DATA, tool("1"));
    await world.ok("install", `${world.mirror.url}/pool/main/tool_1_all.deb`);
    expect((await world.next()).origin.requestedLocal).toEqual([expect.stringMatching(LOCAL)]);
    await world.ok("uninstall", "tool");
    const missing = `${world.mirror.url}/pool/main/none_1_all.deb`;
    await world.failing(["install", missing], { code: "DownloadFailed", message: /none_1_all\.deb.*404/ });
  });

  test("are refused by name where they are no packages, or not there", async () => {
    const bad = join(world.host.layout.repos, "bad.deb");
    await writeFile(bad, "no archive\n");
    const refused = async (path: string): Promise<string> => {
      const { status, stderr } = await world.cli("install", path);
      expect(status).not.toBe(0);
      return stderr;
    };
    expect(await refused("/run/sandbox/repos/bad.deb")).toMatch(/^error: cannot use \/run\/sandbox\/repos\/bad\.deb: it is no Debian package/);
    await rm(bad);
    expect(await refused("/run/sandbox/repos/bad.deb")).toMatch(/^error: cannot read .*: there is no such file on the daemon's host/);
    expect(await refused("/run/sandbox/repos/")).toMatch(/it is not a file/);
    await world.expectClean();
  });
});
