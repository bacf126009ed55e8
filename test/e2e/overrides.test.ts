/** Overrides: packages of the base taken out of a deployment, or replaced, and had back. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeDeb } from "../harness/debs.ts";
import { World } from "../harness/world.ts";

/** Of the base, and nothing depends on it. */
const netbase = (version: string) => ({ name: "netbase", version, files: { "/usr/share/netbase-made": `netbase ${version}\n` } });
const TOOL = { name: "tool", version: "1", files: { "/usr/share/tool": "tool\n" } };
const DEMANDING = { name: "demanding", version: "1", depends: "netbase (>= 90)" };

describe("overrides of the base", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-overrides");
    await world.offer(netbase("99"), TOOL, DEMANDING);
  });
  afterAll(() => world?.close());

  test("take a package out, and nothing else", async () => {
    const said = await world.ok("override", "remove", "netbase");
    expect(said).toMatch(/^Removed:\n {2}netbase /m);
    const next = await world.next();
    expect(next).toMatchObject({ layered: [], origin: { removed: ["netbase"], requested: [] } });
    expect(existsSync(join(next.directory, "usr/share/doc/netbase"))).toBe(false);
    const states = await world.packagesIn(next.directory, "netbase", "tzdata");
    expect(states.netbase).not.toMatch(/^ii/);
    expect(states.tzdata).toMatch(/^ii/);
    expect(await world.ok("status")).toContain("RemovedBasePackages: netbase");
    await world.expectSound();
  });

  test("stay when something is layered, and a request for the same package is refused", async () => {
    await world.ok("install", "tool");
    expect(await world.next()).toMatchObject({ origin: { removed: ["netbase"], requested: ["tool"] } });
    await world.failing(["install", "netbase"], { code: "Conflict", message: /an override of the base names it/ });
  });

  test("put another version in the place of a package", async () => {
    await world.ok("override", "replace", "netbase=99");
    const next = await world.next();
    expect(next).toMatchObject({ origin: { removed: [], replaced: ["netbase=99"], requested: ["tool"] } });
    expect(await readFile(join(next.directory, "usr/share/netbase-made"), "utf8")).toBe("netbase 99\n");
    expect(await world.packagesIn(next.directory, "netbase")).toEqual({ netbase: "ii 99" });
    await world.ok("install", "demanding");
    expect((await world.next()).layered.map((p) => p.name)).toEqual(["demanding", "netbase", "tool"]);
    await world.expectSound();
  });

  test("are had back one by one, or all", async () => {
    await world.failing(["override", "reset", "netbase"], { code: "ProtectedPackage", message: /upgrade netbase/ });
    await world.ok("uninstall", "demanding");
    await world.ok("override", "reset", "netbase");
    expect(await world.next()).toMatchObject({ origin: { replaced: [], requested: ["tool"] }, layered: [{ name: "tool" }] });
    await world.failing(["override", "reset", "netbase"], { code: "NotInstalled", message: /there is no override of that name/ });
    await world.ok("override", "remove", "netbase", "zstd");
    await world.ok("override", "reset", "--all");
    expect((await world.next()).origin).toMatchObject({ removed: [], requested: ["tool"] });
  });

  test("may be older, and come from a file that vanishes", async () => {
    const deb = await makeDeb(world.host.layout.repos, netbase("1"));
    const path = deb.replace(world.host.layout.repos, "/run/sandbox/repos");
    const said = await world.ok("override", "replace", path);
    expect(said).toMatch(/^Downgraded:\n {2}netbase .* -> 1$/m);
    await world.host.exec("rm", [path]);
    await world.ok("uninstall", "tool");
    const next = await world.next();
    expect(next.origin.replacedLocal).toEqual([expect.stringMatching(/^netbase:all=1@[0-9a-f]{64}$/)]);
    expect(await world.packagesIn(next.directory, "netbase")).toEqual({ netbase: "ii 1" });
    await world.expectSound();
  });

  test("may have the very version of what they replace", async () => {
    await world.ok("override", "reset", "--all");
    const version = (await world.packagesIn((await world.next()).directory, "netbase")).netbase?.replace("ii ", "") ?? "";
    const deb = await makeDeb(world.host.layout.repos, netbase(version));
    await world.ok("override", "replace", deb.replace(world.host.layout.repos, "/run/sandbox/repos"));
    const next = await world.next();
    expect(await readFile(join(next.directory, "usr/share/netbase-made"), "utf8")).toBe(`netbase ${version}\n`);
    expect(next.origin.replacedLocal).toHaveLength(1);
  });

  test("are refused for what is not of the base, for what no host can be without, and where more would go with it", async () => {
    await world.failing(["override", "remove", "tool"], { code: "NotInstalled", message: /not part of the base/ });
    await world.failing(["override", "remove", "ostree"], { code: "ProtectedPackage", message: /no deployment can be without/ });
    await world.failing(["override", "remove", "openssl"], { code: "ProtectedPackage", message: /apt would remove ca-certificates, / });
  });

  test("and layers are all taken back by reset, and that by undo", async () => {
    await world.ok("install", "tool");
    const { origin } = await world.next();
    await world.ok("reset");
    const bare = await world.next();
    expect(bare.commit).toBe(bare.origin.baseCommit);
    await world.ok("undo", (await world.latest()).id);
    expect((await world.next()).origin).toMatchObject({ requested: origin.requested, replacedLocal: origin.replacedLocal });
    await world.ok("reset", "--layers");
    expect((await world.next()).origin).toMatchObject({ requested: [], replacedLocal: origin.replacedLocal });
    await world.expectClean();
  });
});
