import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { InstalledPackage } from "../../src/model/plan.ts";
import { makeRequest } from "../../src/model/request.ts";
import type { Origin } from "../../src/model/sysroot.ts";
import type { Request } from "../../src/model/transaction.ts";
import { type TreeState, treeStateOf } from "../../src/model/tree.ts";
import { chooseBase, inactiveOf, satisfies, treeAfter } from "../../src/model/treeafter.ts";

const ID = "0123456789ab";
const BASE: InstalledPackage[] = [
  { name: "bash", architecture: "amd64", version: "5" },
  { name: "tzdata", architecture: "all", version: "2026a" },
];

function origin(requested: readonly string[], baseCommit = "now"): Origin {
  return { ...state(requested, baseCommit), inactive: [], layerKey: "", transaction: "" };
}

function state(requested: readonly string[], baseCommit = "now"): TreeState {
  return treeStateOf({ refspec: "debian:debian/13", baseCommit, requested });
}

/** The requested packages of the new deployment. */
function targetPackages(request: Request, now: Origin, base: readonly InstalledPackage[]): readonly string[] {
  return treeAfter(request, now, base, now.baseCommit).requested;
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
    const states = fc
      .record({ baseCommit: fc.constantFrom("a", "b"), followsApt: fc.boolean(), requested: packages, removed: packages, replaced: packages })
      .map((tree) => treeStateOf({ refspec: "debian:debian/13", ...tree }));
    fc.assert(
      fc.property(states, states, (from, to) => {
        fc.pre(JSON.stringify(from) !== JSON.stringify(to));
        const request = undo(from, to);
        expect(chooseBase(request, to)).toEqual({ commit: from.baseCommit });
        expect(treeAfter(request, to, BASE, from.baseCommit)).toEqual(from);
      }),
    );
  });
});

const LOCAL = `tool:all=1@${"a".repeat(64)}`;
const override = (action: string, ...packages: string[]): Request => makeRequest("override", { action, packages });

describe("local packages", () => {
  it("stand for the package of their name, and go with it", () => {
    const install = { ...makeRequest("install", { files: ["/tool.deb"] }), locals: [LOCAL] };
    const now = treeAfter(install, origin(["tool", "vim"]), BASE, "now", [LOCAL]);
    expect(now).toMatchObject({ requested: ["vim"], requestedLocal: [LOCAL] });
    expect(treeAfter(makeRequest("install", { packages: ["tool=2"] }), now, BASE, "now")).toMatchObject({
      requested: ["tool=2", "vim"],
      requestedLocal: [],
    });
    expect(treeAfter(makeRequest("uninstall", { packages: ["tool"] }), now, BASE, "now")).toMatchObject({ requested: ["vim"], requestedLocal: [] });
  });
});

describe("overrides", () => {
  it("take packages out of the base, or put others there, the last word counting", () => {
    const gone = treeAfter(override("remove", "bash"), origin([]), BASE, "now");
    expect(gone).toMatchObject({ removed: ["bash"], replaced: [] });
    expect(treeAfter(override("replace", "bash=6"), gone, BASE, "now")).toMatchObject({ removed: [], replaced: ["bash=6"] });
    expect(treeAfter(override("reset", "bash"), gone, BASE, "now")).toEqual(state([]));
    expect(treeAfter(override("reset"), gone, BASE, "now")).toEqual(state([]));
  });

  it("are of packages of the base only, and of such as are overridden", () => {
    const notInstalled = (...packages: string[]): object => expect.objectContaining({ code: "NotInstalled", details: { packages } });
    expect(() => treeAfter(override("remove", "bash", "vim"), origin(["vim"]), BASE, "now")).toThrow(notInstalled("vim"));
    expect(() => treeAfter(override("replace", "vim=1"), origin([]), BASE, "now")).toThrow(notInstalled("vim=1"));
    expect(() => treeAfter(override("reset", "bash"), origin([]), BASE, "now")).toThrow(notInstalled("bash"));
  });

  it("take packages out by their bare names", () => {
    for (const spec of ["bash:amd64", "bash=5", "bash/trixie"])
      expect(() => treeAfter(override("remove", spec), origin([]), BASE, "now"), spec).toThrow(expect.objectContaining({ code: "InvalidRequest" }));
  });

  it("exclude a request for the same package", () => {
    const gone = treeAfter(override("remove", "bash"), origin([]), BASE, "now");
    expect(() => treeAfter(makeRequest("install", { packages: ["bash"] }), gone, BASE, "now")).toThrow(expect.objectContaining({ code: "Conflict" }));
  });

  it("and layers are taken back by reset, both or one of them", () => {
    const now = { ...state(["vim"]), requestedLocal: [LOCAL], removed: ["bash"] };
    expect(treeAfter(makeRequest("reset"), now, BASE, "now")).toEqual(state([]));
    expect(treeAfter(makeRequest("reset", { action: "layers" }), now, BASE, "now")).toMatchObject({
      requested: [],
      requestedLocal: [],
      removed: ["bash"],
    });
    expect(treeAfter(makeRequest("reset", { action: "overrides" }), now, BASE, "now")).toMatchObject({ requested: ["vim"], removed: [] });
  });

  it("sleep on a base that has not the package, as requests do on one that has", () => {
    expect(inactiveOf({ ...state(["bash", "vim"]), removed: ["gone", "tzdata"] }, BASE)).toEqual(["bash", "gone"]);
  });
});

describe("another base", () => {
  it("is what is named, or what is followed, at its newest or at a revision", () => {
    expect(chooseBase(makeRequest("rebase", { refspec: "other" }), origin([]))).toEqual({ refspec: "other" });
    expect(chooseBase(makeRequest("rebase", { refspec: "other", revision: "1.2" }), origin([]))).toEqual({ refspec: "other", revision: "1.2" });
    expect(chooseBase(makeRequest("deploy", { revision: "1.2" }), origin([]))).toEqual({ refspec: "debian:debian/13", revision: "1.2" });
    const unfollowing = { ...origin([]), refspec: "" };
    expect(() => chooseBase(makeRequest("deploy", { revision: "1.2" }), unfollowing)).toThrow(expect.objectContaining({ code: "NotFound" }));
    expect(chooseBase(makeRequest("rebase", { followsApt: true }), origin([]))).toEqual({ commit: "now" });
    expect(treeAfter(makeRequest("rebase", { refspec: "other", followsApt: true }), origin(["vim"]), BASE, "new")).toEqual({
      ...state(["vim"], "new"),
      refspec: "other",
      followsApt: true,
    });
  });
});
