/** Packages as people name them: virtual names, patterns, tasks, several at once. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DebOptions } from "../harness/debs.ts";
import { World } from "../harness/world.ts";

const plain = (name: string, others: Partial<DebOptions> = {}): DebOptions => ({
  name,
  version: "1",
  files: { [`/usr/share/made/${name}`]: `${name}\n` },
  ...others,
});

describe("packages as people name them", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-named");
    await world.offer(
      plain("font-one"),
      plain("font-two"),
      plain("other"),
      plain("only-mta", { provides: "made-mta" }),
      plain("editor-one", { provides: "made-editor" }),
      plain("editor-two", { provides: "made-editor" }),
      plain("task-part", { fields: { Task: "made-server" } }),
      plain("task-rest", { fields: { Task: "made-server" } }),
      plain("a+b.c"),
    );
  });
  afterAll(() => world?.close());

  async function layered(): Promise<string[]> {
    return (await world.next()).layered.map((p) => p.name);
  }

  test("a pattern stands for all that match, and is remembered as it was asked for", async () => {
    await world.ok("install", "font-*");
    expect(await layered()).toEqual(["font-one", "font-two"]);
    expect((await world.next()).origin.requested).toEqual(["font-*"]);
    await world.publish(plain("font-one"), plain("font-two"), plain("font-three"), plain("other"));
    await world.ok("upgrade");
    expect(await layered()).toEqual(["font-one", "font-three", "font-two"]);
    await world.ok("uninstall", "font-*");
    expect(await layered()).toEqual([]);
    await world.failing(["install", "nothing-*"], { code: "UnknownPackage", message: /nothing-\*/ });
  });

  test("a virtual name stands for the one that provides it, and is refused with the list where there are several", async () => {
    await world.offer(
      plain("only-mta", { provides: "made-mta" }),
      plain("editor-one", { provides: "made-editor" }),
      plain("editor-two", { provides: "made-editor" }),
      plain("task-part", { fields: { Task: "made-server" } }),
      plain("task-rest", { fields: { Task: "made-server" } }),
      plain("a+b.c"),
    );
    await world.ok("install", "made-mta");
    expect(await layered()).toEqual(["only-mta"]);
    await world.failing(["install", "made-editor"], { code: "UnknownPackage", message: /made-editor/ });
    await world.ok("uninstall", "made-mta");
  });

  test("a task stands for its packages", async () => {
    await world.ok("install", "made-server^");
    expect(await layered()).toEqual(["task-part", "task-rest"]);
    await world.ok("uninstall", "made-server^");
  });

  test("a name with signs that mean something to apt is that name and nothing else", async () => {
    await world.ok("install", "a+b.c");
    expect(await layered()).toEqual(["a+b.c"]);
    await world.failing(["install", "a+b."], { code: "UnknownPackage", message: /a\+b\./ });
    await world.ok("uninstall", "a+b.c");
  });

  test("several are installed all or none", async () => {
    await world.failing(["install", "only-mta", "no-such"], { code: "UnknownPackage", message: /no-such/ });
    expect(await layered()).toEqual([]);
  });
});
