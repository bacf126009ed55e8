import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chooseBase, satisfies, targetPackages } from "../../src/engines/stages/target.ts";
import { makeRequest } from "../../src/model/names.ts";
import type { InstalledPackage } from "../../src/model/plan.ts";
import type { Origin } from "../../src/model/sysroot.ts";
import type { Request, TreeState } from "../../src/model/transaction.ts";

const ID = "0123456789ab";
const BASE: InstalledPackage[] = [
  { name: "bash", architecture: "amd64", version: "5" },
  { name: "tzdata", architecture: "all", version: "2026a" },
];

function origin(requested: readonly string[], baseCommit = "now"): Origin {
  return { refspec: "debian:debian/13", requested, inactive: [], baseCommit, layerKey: "", transaction: "" };
}

function state(requested: readonly string[], baseCommit = "now"): TreeState {
  return { baseCommit, requested };
}

function undo(from: TreeState, to: TreeState): Request {
  return { ...makeRequest("undo", { undoes: ID }), undo: { transaction: ID, from, to } };
}

function conflict(why: RegExp, details: object = {}): object {
  return expect.objectContaining({
    code: "Conflict",
    message: expect.stringMatching(new RegExp(`^cannot undo ${ID}: it no longer applies: .*${why.source}`)),
    details: expect.objectContaining({ transaction: ID, ...details }),
  });
}

describe("the base of a new deployment", () => {
  it("follows its ref for an upgrade and a bare prefetch, and stays for everything else", () => {
    for (const request of [makeRequest("upgrade"), makeRequest("prefetch")])
      expect(chooseBase(request, origin([]))).toEqual({ refspec: "debian:debian/13" });
    for (const request of [makeRequest("install", { packages: ["vim"] }), makeRequest("prefetch", { packages: ["vim"] }), makeRequest("refresh")])
      expect(chooseBase(request, origin([]))).toEqual({ commit: "now" });
    expect(chooseBase(makeRequest("upgrade"), { ...origin([]), refspec: "" })).toEqual({ commit: "now" });
  });
});

describe("the packages of a new deployment", () => {
  it("are those from before and the new ones, save for what the base has", () => {
    const request = makeRequest("install", { packages: ["vim", "bash", "tzdata:amd64"] });
    expect(targetPackages(request, origin(["nano"]), BASE)).toEqual(["nano", "vim"]);
  });

  it("have a package once, as it was asked for last", () => {
    const at = origin(["nano", "vim:amd64", "vim=1"]);
    expect(targetPackages(makeRequest("install", { packages: ["vim=2"] }), at, BASE)).toEqual(["nano", "vim:amd64", "vim=2"]);
  });

  it("lose what is uninstalled, however it was asked for", () => {
    expect(targetPackages(makeRequest("uninstall", { packages: ["vim"] }), origin(["nano", "vim=1"]), BASE)).toEqual(["nano"]);
    expect(() => targetPackages(makeRequest("uninstall", { packages: ["bash", "vim"] }), origin([]), BASE)).toThrow(
      expect.objectContaining({ code: "ProtectedPackage", details: { packages: ["bash"] } }),
    );
    expect(() => targetPackages(makeRequest("uninstall", { packages: ["vim"] }), origin([]), BASE)).toThrow(
      expect.objectContaining({ code: "NotInstalled" }),
    );
    expect(targetPackages(makeRequest("uninstall", { packages: ["vim"], idempotent: true }), origin(["nano"]), BASE)).toEqual(["nano"]);
  });

  it("stay as they are for an upgrade", () => {
    expect(targetPackages(makeRequest("upgrade"), origin(["nano", "vim"]), BASE)).toEqual(["nano", "vim"]);
  });
});

describe("what the base satisfies", () => {
  it("is a package by name, and by architecture and version where they are named", () => {
    for (const spec of ["bash", "bash=5", "bash:amd64=5", "tzdata:i386"]) expect(satisfies(BASE, spec), spec).toBe(true);
    for (const spec of ["zsh", "bash=6", "bash:i386", "bash/trixie"]) expect(satisfies(BASE, spec), spec).toBe(false);
  });
});

describe("an undo", () => {
  it("takes out what an installation brought, and leaves what came later", () => {
    const request = undo(state(["nano"]), state(["nano", "vim"]));
    expect(targetPackages(request, origin(["mc", "nano", "vim"]), BASE)).toEqual(["mc", "nano"]);
    expect(chooseBase(request, origin(["mc", "nano", "vim"]))).toEqual({ commit: "now" });
  });

  it("brings back what an uninstallation took, also on a base that was upgraded since", () => {
    const request = undo(state(["nano", "vim"], "old"), state(["nano"], "old"));
    expect(targetPackages(request, origin(["nano"]), BASE)).toEqual(["nano", "vim"]);
    expect(chooseBase(request, origin(["nano"]))).toEqual({ commit: "now" });
  });

  it("goes back to another version of a package, and to another base", () => {
    expect(targetPackages(undo(state(["vim=1"]), state(["vim=2"])), origin(["nano", "vim=2"]), BASE)).toEqual(["nano", "vim=1"]);
    const upgrade = undo(state(["vim"], "old"), state(["vim"], "new"));
    expect(chooseBase(upgrade, origin(["nano", "vim"], "new"))).toEqual({ commit: "old" });
    expect(targetPackages(upgrade, origin(["nano", "vim"], "new"), BASE)).toEqual(["nano", "vim"]);
  });

  it("of an undo does the change again", () => {
    expect(targetPackages(undo(state(["vim"]), state([])), origin([]), BASE)).toEqual(["vim"]);
  });

  it("is refused, saying why, where the base or a package went on without it", () => {
    const upgrade = undo(state([], "old"), state([], "new"));
    expect(() => chooseBase(upgrade, origin([], "newer"))).toThrow(conflict(/the base was changed/, { baseCommit: "newer", expected: "new" }));
    expect(() => targetPackages(upgrade, origin([], "old"), BASE)).toThrow(conflict(/the base was changed/));
    const install = undo(state([]), state(["mc", "vim"]));
    expect(() => targetPackages(install, origin(["nano", "vim"]), BASE)).toThrow(conflict(/mc is not requested any more/, { packages: ["mc"] }));
    const uninstall = undo(state(["vim"]), state([]));
    expect(() => targetPackages(uninstall, origin(["vim=2"]), BASE)).toThrow(conflict(/vim=2 is requested now/, { packages: ["vim=2"] }));
  });

  it("is refused where nothing would change", () => {
    expect(() => targetPackages(undo(state(["vim"]), state([])), origin(["vim"]), BASE)).toThrow(conflict(/nothing left/));
    expect(() => chooseBase(undo(state(["vim"]), state(["vim"])), origin(["vim"]))).toThrow(conflict(/nothing left/));
  });

  it("right after any change gives back just what was there before", () => {
    const packages = fc.uniqueArray(fc.constantFrom("mc", "nano", "vim", "zsh"), { maxLength: 4 }).map((list) => list.sort());
    const states = fc.record({ baseCommit: fc.constantFrom("a", "b"), requested: packages });
    fc.assert(
      fc.property(states, states, (from, to) => {
        fc.pre(JSON.stringify(from) !== JSON.stringify(to));
        const request = undo(from, to);
        const now = origin(to.requested, to.baseCommit);
        expect(chooseBase(request, now)).toEqual({ commit: from.baseCommit });
        expect(targetPackages(request, now, BASE)).toEqual(from.requested);
      }),
    );
  });
});
