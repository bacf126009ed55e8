import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");

interface Import {
  readonly from: string;
  /** A path from the checkout, or the name of a package. */
  readonly to: string;
}

const IMPORT = /(?:^|\n)\s*(?:import|export)\b[^;"']*?\bfrom\s*["']([^"']+)["']|(?:^|\n)\s*import\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/g;

/** Every import of every source file, also those of types only and those that are made while running. */
function importsBelow(directory: string): Import[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .flatMap((name) => {
      const from = join(directory, name);
      const found = [...readFileSync(join(ROOT, from), "utf8").matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
      return found.map((to) => ({ from, to: to.startsWith(".") ? normalize(join(dirname(from), to)) : to }));
    });
}

const imports = [...importsBelow("src"), ...importsBelow("machines")];

/** Imports from files below the one path that go where they may not. */
function offences(below: string, allowed: (to: string) => boolean): string[] {
  return imports.filter(({ from, to }) => from.startsWith(below) && !allowed(to)).map(({ from, to }) => `${from} imports ${to}`);
}

const isPackage = (to: string): boolean => !/^(src|machines|systemd|test)\//.test(to);
const anyOf =
  (...paths: string[]) =>
  (to: string): boolean =>
    paths.some((path) => (path.endsWith("/") ? to.startsWith(path) : to === path));

describe("the imports", () => {
  it("are all seen by this test, and lead to files that are there", () => {
    expect(imports.length).toBeGreaterThan(200);
    const files = new Set(imports.map(({ from }) => from));
    for (const { from, to } of imports) {
      if (isPackage(to)) continue;
      expect(to, `${from} imports ${to}`).toMatch(/\.ts$/);
      if (!files.has(to)) expect(readFileSync(join(ROOT, to), "utf8").length, to).toBeGreaterThan(0);
    }
    expect(relative(ROOT, import.meta.dirname)).toBe("test/unit");
  });

  it("of the model stay in the model", () => {
    const packages = imports.filter(({ from, to }) => from.startsWith("src/model/") && isPackage(to)).map(({ to }) => to);
    expect(offences("src/model/", (to) => isPackage(to) || to.startsWith("src/model/"))).toEqual([]);
    expect(packages.filter((to) => !to.startsWith("node:") && to !== "yaml")).toEqual([]);
  });

  it("of the machines are xstate and the model", () => {
    expect(offences("machines/", anyOf("xstate", "machines/", "src/model/"))).toEqual([]);
  });

  it("of the scheduler are machines and model: engines and store only through its ports", () => {
    expect(offences("src/scheduler/", (to) => isPackage(to) || anyOf("machines/", "src/model/", "src/scheduler/")(to))).toEqual([]);
  });

  it("of the engines and the store are the scheduler's ports and the model", () => {
    for (const room of ["src/engines/", "src/store/"])
      expect(offences(room, (to) => isPackage(to) || anyOf(room, "src/model/", "src/scheduler/ports.ts", "src/log.ts")(to))).toEqual([]);
  });

  it("of the bus are the scheduler's api and the model", () => {
    const allowed = anyOf("src/dbus/", "src/model/", "src/scheduler/api.ts", "src/log.ts", "src/release.ts");
    expect(offences("src/dbus/", (to) => isPackage(to) || allowed(to))).toEqual([]);
  });

  it("of the command line are the model and the bus's client: it opens no journal and runs no engine", () => {
    const allowed = anyOf("src/cli/", "src/model/", "src/dbus/", "src/release.ts");
    expect(offences("src/cli/", (to) => isPackage(to) || allowed(to))).toEqual([]);
    expect(offences("src/cli/", (to) => !anyOf("xstate", "p-queue", "better-sqlite3", "dbus-next")(to))).toEqual([]);
  });

  it("of the libraries are where one file or one room answers for each", () => {
    const users = (name: string): string[] => [...new Set(imports.filter(({ to }) => to === name).map(({ from }) => from))];
    for (const file of users("dbus-next")) expect(["src/dbus/bus.ts", "src/dbus/library.ts"]).toContain(file);
    for (const file of users("better-sqlite3")) expect(file).toMatch(/^src\/store\//);
    for (const file of users("xstate")) expect(file).toMatch(/^(machines|src\/scheduler)\//);
    for (const file of users("p-queue")) expect(file).toMatch(/^src\/(engines|scheduler)\//);
    expect(users("better-sqlite3").length * users("dbus-next").length * users("xstate").length).toBeGreaterThan(0);
  });
});
