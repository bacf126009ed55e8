import { describe, expect, it } from "vitest";
import { makeRequest } from "../../src/model/request.ts";
import { CLEANUP_TARGETS, KINDS, type Request } from "../../src/model/transaction.ts";
import { combine, combineAll, MEETINGS, type Meeting, meet } from "../../src/scheduler/meetings.ts";
import { plainRequest } from "../harness/requests.ts";

const PACKAGES = [["vim"], ["nano"], ["vim", "nano"], ["vim=1"], ["vim/trixie", "mc"], ["vim:i386"]];

/** Requests of every kind, small enough to try all pairs and triples. */
const REQUESTS: readonly Request[] = KINDS.flatMap((kind) => {
  if (kind === "install" || kind === "uninstall") return PACKAGES.map((packages) => makeRequest(kind, { packages }));
  if (kind === "prefetch") return [[], ...PACKAGES.slice(0, 3)].map((packages) => makeRequest(kind, { packages }));
  if (kind === "cleanup") return [...CLEANUP_TARGETS.map((target) => [target]), ["base", "pending"]].map((targets) => makeRequest(kind, { targets }));
  if (kind === "undo") return ["1", "2"].map((digit) => makeRequest(kind, { undoes: digit.repeat(12) }));
  if (kind === "override") return ["remove", "replace"].map((action) => makeRequest(kind, { action, packages: ["bash"] }));
  return [plainRequest(kind)];
});
const OPTIONAL = [
  makeRequest("uninstall", { packages: ["vim"], idempotent: true }),
  makeRequest("install", { packages: ["nano"], idempotent: true }),
  makeRequest("install", { packages: ["nano"], dryRun: true }),
  makeRequest("install", { packages: ["nano"], plan: "0".repeat(40) }),
  makeRequest("install", { packages: ["nano"], scriptNetwork: true }),
  { ...makeRequest("install", { packages: ["nano"], files: ["/a/tool.deb"] }), locals: [`tool:all=1@${"a".repeat(64)}`] },
  makeRequest("install", { files: ["https://host/tool.deb"] }),
  makeRequest("reset", { action: "layers" }),
  makeRequest("rebase", { followsApt: true }),
];
const ALL = [...REQUESTS, ...OPTIONAL];

const SHARED: readonly Meeting[] = ["join", "absorb", "merge", "promote"];
const shares = (a: Request, b: Request): boolean => SHARED.includes(meet(a, b));
const pairs = ALL.flatMap((a) => ALL.map((b) => [a, b] as const));
const about = (...requests: readonly Request[]): string => JSON.stringify(requests);

describe("requests that meet", () => {
  it("are in the table, every kind with every kind", () => {
    for (const a of KINDS) expect(Object.keys(MEETINGS[a]).toSorted()).toEqual([...KINDS].toSorted());
  });

  it("join where they are the same, and are together what each is alone", () => {
    for (const request of ALL) {
      expect(meet(request, request), about(request)).toBe("join");
      expect(combine(request, request)).toEqual(request);
    }
  });

  it("share, queue or conflict alike whichever came first, and are together the same", () => {
    for (const [a, b] of pairs) {
      const [there, back] = [meet(a, b), meet(b, a)];
      expect(there === "queue", about(a, b)).toBe(back === "queue");
      expect(there === "conflict", about(a, b)).toBe(back === "conflict");
      expect(combine(a, b), about(a, b)).toEqual(combine(b, a));
    }
  });

  it("are the same together in whichever order they came, wherever they share in both", () => {
    for (const [a, b] of pairs) {
      for (const c of ALL) {
        const left = combineAll([a, b, c]);
        const tail = combine(b, c);
        const right = tail === null ? null : combine(a, tail);
        if (left !== null && right !== null) expect(left, about(a, b, c)).toEqual(right);
      }
    }
  });

  it("never do together what neither asked for, and leave nothing out", () => {
    for (const [a, b] of pairs) {
      const both = combine(a, b);
      if (both === null) continue;
      expect([a.kind, b.kind]).toContain(both.kind);
      const namedBy = ({ packages, targets, files = [], locals = [] }: Request): string[] => [...packages, ...targets, ...files, ...locals];
      const asked = new Set([...namedBy(a), ...namedBy(b)]);
      for (const one of namedBy(both)) expect(asked.has(one), about(a, b)).toBe(true);
      if (a.kind === b.kind) expect(new Set(namedBy(both)), about(a, b)).toEqual(asked);
    }
  });

  it("do not share where what one wants is the opposite of what the other does", () => {
    const install = (...packages: string[]): Request => makeRequest("install", { packages });
    expect(meet(install("vim"), makeRequest("uninstall", { packages: ["vim"] }))).toBe("conflict");
    expect(meet(install("vim"), makeRequest("uninstall", { packages: ["nano"] }))).toBe("queue");
    expect(meet(install("vim=1"), install("vim=2"))).toBe("conflict");
    expect(meet(install("vim:i386"), install("vim:amd64"))).toBe("merge");
    for (const kind of ["install", "upgrade", "uninstall", "undo"] as const)
      for (const request of REQUESTS.filter((r) => r.kind === kind)) expect(meet(makeRequest("rollback"), request)).toBe("conflict");
  });

  it("let a prefetch become the upgrade or the install that wants it, and no other", () => {
    const prefetch = (...packages: string[]): Request => makeRequest("prefetch", { packages });
    expect(meet(prefetch(), makeRequest("upgrade"))).toBe("promote");
    expect(meet(makeRequest("upgrade"), prefetch())).toBe("absorb");
    expect(meet(prefetch("vim"), makeRequest("install", { packages: ["vim", "nano"] }))).toBe("promote");
    expect(meet(prefetch("vim"), makeRequest("install", { packages: ["nano"] }))).toBe("queue");
    expect(meet(prefetch("vim"), makeRequest("upgrade"))).toBe("queue");
    expect(meet(prefetch(), makeRequest("install", { packages: ["nano"] }))).toBe("queue");
    expect(meet(makeRequest("refresh"), makeRequest("upgrade"))).toBe("promote");
  });

  it("are the same with files of the same content, wherever those lie", () => {
    const at = (path: string): Request => ({ ...makeRequest("install", { files: [path] }), locals: [`tool:all=1@${"a".repeat(64)}`] });
    expect(meet(at("/a/tool.deb"), at("/b/tool.deb"))).toBe("join");
    const other = { ...at("/a/tool.deb"), locals: [`tool:all=1@${"b".repeat(64)}`] };
    expect(meet(at("/a/tool.deb"), other)).toBe("conflict");
  });

  it("only try out with their like, and do a certain plan with none but the same", () => {
    for (const [a, b] of pairs) {
      const certain = [a, b].some(({ dryRun, plan }) => dryRun === true || plan !== undefined);
      if (certain && JSON.stringify(a) !== JSON.stringify(b)) expect(shares(a, b), about(a, b)).toBe(false);
    }
  });

  it("keep their order where they contradict each other, whatever their options", () => {
    const install = (values: object) => makeRequest("install", { packages: ["vim=1"], ...values });
    expect(meet(install({ scriptNetwork: true }), makeRequest("install", { packages: ["vim=2"] }))).toBe("conflict");
    expect(meet(makeRequest("rebase", { refspec: "a", scriptNetwork: true }), makeRequest("rebase", { refspec: "b" }))).toBe("conflict");
    expect(meet(install({ scriptNetwork: true }), install({}))).toBe("queue");
  });

  it("keep what was asked with other options apart", () => {
    for (const [a, b] of pairs) if (a.kind === b.kind && a.idempotent !== b.idempotent) expect(shares(a, b)).toBe(false);
  });
});
