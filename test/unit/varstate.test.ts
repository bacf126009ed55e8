import { describe, expect, it } from "vitest";
import { type VarFacts, varFate } from "../../src/model/varstate.ts";

const fate = (path: string, type = "f", facts: Partial<VarFacts> & { mode?: string; uid?: string } = {}) =>
  varFate(
    { path, type, mode: facts.mode ?? "644", uid: facts.uid ?? "0", gid: "0" },
    { isShipped: facts.isShipped ?? false, isRoots: facts.isRoots ?? (facts.uid ?? "0") === "0", hasFiles: facts.hasFiles ?? false },
  );

describe("what becomes of a path below /var", () => {
  it.each([
    ["lib/ucf", "d", { kind: "state", to: "usr/lib/sysimage/var/lib/ucf" }],
    ["lib/shells.state", "f", { kind: "state", to: "usr/lib/sysimage/var/lib/shells.state" }],
    ["lib/ucf", "l", { kind: "link" }],
    ["lib/example", "d", { kind: "directory" }],
    ["lib/example/seed", "f", { kind: "factory" }],
    ["lib/example/link", "l", { kind: "link" }],
    ["spool/postfix/public/pickup", "p", { kind: "pipe" }],
    ["www/html/index.html", "f", { kind: "factory" }],
    ["roothome/.bashrc", "f", { kind: "factory" }],
    ["roothome/.cache/x", "f", { kind: "discard" }],
    ["cache/example", "d", { kind: "directory" }],
    ["cache/example/x", "f", { kind: "discard" }],
    ["log/example.log", "f", { kind: "empty" }],
    ["log/dpkg.log", "f", { kind: "discard" }],
    ["lib/apt/lists/x", "f", { kind: "discard" }],
    ["lib/dbus/machine-id", "f", { kind: "discard" }],
    ["lib/example/.lock", "f", { kind: "discard" }],
    ["lib/rabbitmq/.erlang.cookie", "f", { kind: "discard" }],
    ["lib/example/socket", "s", { kind: "discard" }],
    ["tmp/systemd-private", "d", { kind: "discard" }],
    ["opt", "d", { kind: "directory" }],
    ["opt/example", "d", { kind: "software", to: "usr/lib/opt/example" }],
    ["usrlocal/bin", "d", { kind: "directory" }],
    ["usrlocal/bin/tool", "f", { kind: "software", to: "usr/lib/usrlocal/bin/tool" }],
  ])("%s (%s)", (path, type, expected) => {
    expect(fate(path, type)).toEqual(expected);
  });

  it("is unknown where the table does not know the directory at the top", () => {
    expect(fate("strange", "d")).toBeNull();
    expect(fate("strange/file")).toBeNull();
  });

  it("is a link to the tree for a file that packages replace, and a copy for one that the host may write", () => {
    expect(fate("lib/example/table", "f", { isShipped: true })).toEqual({ kind: "state", to: "usr/lib/sysimage/var/lib/example/table" });
    expect(fate("lib/example/table", "f", { isShipped: true, mode: "664" })).toEqual({ kind: "factory" });
    expect(fate("lib/example/table", "f", { isShipped: true, uid: "100" })).toEqual({ kind: "factory" });
    expect(fate("games/scores", "f", { isShipped: true })).toEqual({ kind: "factory" });
  });

  it("is one piece for a directory of a service that has files in it, but for caches and logs", () => {
    expect(fate("lib/postgresql/17/main", "d", { uid: "100", hasFiles: true })).toEqual({ kind: "whole" });
    expect(fate("lib/postgresql", "d", { uid: "100" })).toEqual({ kind: "directory" });
    expect(fate("lib/example", "d", { hasFiles: true })).toEqual({ kind: "directory" });
    expect(fate("cache/example", "d", { uid: "100", hasFiles: true })).toEqual({ kind: "directory" });
    expect(fate("log/example", "d", { uid: "100", hasFiles: true })).toEqual({ kind: "directory" });
  });

  it("leaves in /opt what belongs to a service, which could not write it below /usr", () => {
    expect(fate("opt/example", "d", { isRoots: false })).toEqual({ kind: "directory" });
    expect(fate("opt/example/data", "d", { uid: "100" })).toEqual({ kind: "directory" });
    expect(fate("opt/example/data/x", "f", { uid: "100" })).toEqual({ kind: "factory" });
  });
});
