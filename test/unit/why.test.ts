import { describe, expect, it } from "vitest";
import type { InstalledPackage } from "../../src/model/plan.ts";
import { keyOf, PackageGraph, type RelatedPackage } from "../../src/model/why.ts";

const pause = async (): Promise<void> => undefined;

function installed(name: string, fields: { depends?: string; preDepends?: string; recommends?: string; provides?: string } = {}): RelatedPackage {
  const { depends = "", preDepends = "", recommends = "", provides = "" } = fields;
  return {
    name,
    architecture: "amd64",
    version: "1",
    multiArch: "",
    provides,
    relations: { "Pre-Depends": preDepends, Depends: depends, Recommends: recommends },
  };
}

const named = (name: string): InstalledPackage => ({ name, architecture: "amd64", version: "1" });

async function chain(packages: readonly RelatedPackage[], roots: readonly string[], target: string): Promise<string[] | null> {
  const graph = await PackageGraph.of(packages, pause);
  const links = await graph.chain(roots.map(named), named(target));
  return links === null
    ? null
    : links.map(({ from, field, to, provided }) => `${from.replace(":amd64", "")} ${field} ${to.replace(":amd64", "")}${provided ? "*" : ""}`);
}

describe("the way to a package", () => {
  const packages = [
    installed("app", { depends: "lib, missing | mta", recommends: "doc" }),
    installed("lib", { preDepends: "core" }),
    installed("core"),
    installed("doc", { depends: "core" }),
    installed("postfix", { provides: "mta" }),
    installed("loner"),
  ];

  it("goes through every field that brings packages, and through names that are provided", async () => {
    expect(await chain(packages, ["app"], "core")).toEqual(["app Depends lib", "lib Pre-Depends core"]);
    expect(await chain(packages, ["app"], "doc")).toEqual(["app Recommends doc"]);
    expect(await chain(packages, ["app"], "postfix")).toEqual(["app Depends postfix*"]);
  });

  it("is the shortest, from whichever root", async () => {
    expect(await chain(packages, ["app", "doc"], "core")).toEqual(["doc Depends core"]);
    expect(await chain(packages, ["app"], "app")).toEqual([]);
  });

  it("is not there for what nothing brings, in a circle neither", async () => {
    expect(await chain(packages, ["app"], "loner")).toBeNull();
    const circle = [installed("a", { depends: "b" }), installed("b", { depends: "a" }), installed("c")];
    expect(await chain(circle, ["a"], "c")).toBeNull();
    expect(await chain(circle, ["gone"], "c")).toBeNull();
  });

  it("is found in a tree of thousands, in little parts", async () => {
    const many = Array.from({ length: 5000 }, (_, i) => installed(`p${i}`, { depends: `p${i + 1}, p${(i * 7) % 5000}` }));
    let pauses = 0;
    const graph = await PackageGraph.of(many, async () => void pauses++);
    expect((await graph.chain([named("p0")], named("p4999")))?.at(-1)?.to).toBe("p4999:amd64");
    expect(pauses).toBeGreaterThan(50);
  });
});

describe("those who want a package", () => {
  it("are the direct ones, also by a provided name, and not itself nor those that only sound like it", async () => {
    const packages = [
      installed("postfix", { provides: "mta", depends: "postfix-base" }),
      installed("postfix-base"),
      installed("cron", { recommends: "mta" }),
      installed("mutt", { depends: "postfix (>= 1)" }),
      installed("tool", { depends: "postfix-base" }),
      installed("old", { depends: "postfix (<< 1)" }),
    ];
    const graph = await PackageGraph.of(packages, pause);
    expect((await graph.wantedBy(named("postfix"))).map(({ from, relation }) => `${from}: ${relation}`)).toEqual([
      "cron:amd64: mta",
      "mutt:amd64: postfix (>= 1)",
    ]);
    expect((await graph.wantedBy(named("postfix-base"))).map(({ from }) => from)).toEqual(["postfix:amd64", "tool:amd64"]);
    expect(keyOf(named("cron"))).toBe("cron:amd64");
  });
});
