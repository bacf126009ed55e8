import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalJson, diffPackages, digestOf, type InstalledPackage } from "../../src/model/plan.ts";

/** The same value with the keys of every object in the opposite order. */
function reordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reordered);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, reordered(inner)]),
  );
}

// A key that is a number comes first in every object, and "__proto__" is no key of a literal: journalled values have neither.
const json = fc.jsonValue({ maxDepth: 4 }).filter((value) => !JSON.stringify(value).includes("__proto__"));

describe("the digest of a value", () => {
  it("is the same for the same value, whatever the order of its keys", () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(digestOf(reordered(value))).toBe(digestOf(value));
        expect(digestOf(structuredClone(value))).toBe(digestOf(value));
      }),
    );
  });

  it("is of the value that JSON carries: nothing is lost, nothing added", () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it("differs where values differ", () => {
    fc.assert(
      fc.property(json, json, (a, b) => {
        const same = JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
        expect(digestOf(a) === digestOf(b)).toBe(same);
      }),
      {
        examples: [
          [[], {}],
          [[["a", 1]], { a: 1 }],
        ],
      },
    );
    expect(digestOf(["ab"])).not.toBe(digestOf(["a", "b"]));
    expect(digestOf({ a: "1" })).not.toBe(digestOf({ a: 1 }));
    expect(digestOf([])).not.toBe(digestOf({}));
  });

  it("takes a missing value and one that is undefined as the same", () => {
    expect(canonicalJson({ b: 1, a: undefined })).toBe('{"b":1}');
    expect(digestOf({ a: 1 })).toMatch(/^[0-9a-f]{64}$/);
  });
});

/** The value with every object as its sorted entries, wrapped so that no array can be taken for an object. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, sorted(inner)]);
  return { entries: entries.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)) };
}

function pkg(name: string, version: string, architecture = "amd64"): InstalledPackage {
  return { name, architecture, version };
}

const packages = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom("vim", "nano", "libc6", "mc", "zsh"),
    architecture: fc.constantFrom("amd64", "i386"),
    version: fc.constantFrom("1", "2", "3"),
  }),
  { selector: (p) => `${p.name}:${p.architecture}` },
);

describe("the difference of two sets of packages", () => {
  it("tells what came, went and changed, in order", () => {
    const changes = diffPackages([pkg("vim", "1"), pkg("nano", "1"), pkg("mc", "1")], [pkg("zsh", "5"), pkg("vim", "2"), pkg("mc", "1")]);
    expect(changes).toEqual([
      { name: "nano", architecture: "amd64", from: "1", to: "" },
      { name: "vim", architecture: "amd64", from: "1", to: "2" },
      { name: "zsh", architecture: "amd64", from: "", to: "5" },
    ]);
  });

  it("keeps architectures apart", () => {
    expect(diffPackages([pkg("libc6", "1", "i386")], [pkg("libc6", "1", "amd64")])).toHaveLength(2);
  });

  it("is nothing between equal sets, whatever their order, and turned round the other way", () => {
    fc.assert(
      fc.property(packages, packages, (from, to) => {
        expect(diffPackages(from, from.toReversed())).toEqual([]);
        const back = diffPackages(to, from).map((change) => ({ ...change, from: change.to, to: change.from }));
        expect(diffPackages(from, to)).toEqual(back);
        expect(diffPackages(from.toReversed(), to.toReversed())).toEqual(diffPackages(from, to));
      }),
    );
  });

  it("applied to the one set gives the other", () => {
    fc.assert(
      fc.property(packages, packages, (from, to) => {
        const key = (p: { name: string; architecture: string }): string => `${p.name}:${p.architecture}`;
        const set = new Map(from.map((p): [string, string] => [key(p), p.version]));
        for (const change of diffPackages(from, to)) {
          expect(set.get(key(change)) ?? "").toBe(change.from);
          if (change.to === "") set.delete(key(change));
          else set.set(key(change), change.to);
        }
        expect(new Map([...set].sort())).toEqual(new Map(to.map((p): [string, string] => [key(p), p.version]).sort()));
      }),
    );
  });
});
