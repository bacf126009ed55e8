import { describe, expect, it } from "vitest";
import { entriesBetween } from "../../src/model/changelog.ts";
import { type Candidate, formatRelation, fulfils, parseRelations, type Relation } from "../../src/model/relation.ts";

const relation = (text: string): Relation => parseRelations(text)[0]?.[0] as Relation;
const candidate = (values: Partial<Omit<Candidate, "provides">> & { provides?: string } = {}): Candidate => ({
  name: "libc6",
  architecture: "amd64",
  version: "2.41-12",
  multiArch: "",
  ...values,
  provides: parseRelations(values.provides ?? ""),
});

describe("a relation field", () => {
  it("is read as groups of alternatives, with architectures and versions", () => {
    expect(parseRelations("libc6 (>= 2.36), python3:any | python3.13:native (<< 3.14~), perl-base")).toEqual([
      [{ name: "libc6", architecture: "", operator: ">=", version: "2.36" }],
      [
        { name: "python3", architecture: "any", operator: "", version: "" },
        { name: "python3.13", architecture: "native", operator: "<<", version: "3.14~" },
      ],
      [{ name: "perl-base", architecture: "", operator: "", version: "" }],
    ]);
  });

  it("may have blanks left out, restrictions, and the operators of old", () => {
    expect(parseRelations("a(>=1),b (= 1:2-3) [amd64] <!nocheck>,\n c (< 2), d (> 3)").map(([one]) => one && formatRelation(one))).toEqual([
      "a (>= 1)",
      "b (= 1:2-3)",
      "c (<= 2)",
      "d (>= 3)",
    ]);
  });

  it("that is empty or that dpkg would not take has no groups", () => {
    expect(parseRelations("")).toEqual([]);
    expect(parseRelations(" , ${shlibs:Depends}, -x, UPPER")).toEqual([]);
  });

  it("is written as it was read", () => {
    for (const text of ["libc6", "libc6:any", "libc6 (>= 2.36)", "g++:amd64 (= 4:14.2.0-1)"]) expect(formatRelation(relation(text))).toBe(text);
  });
});

describe("a package fulfils a relation", () => {
  it.each([
    ["libc6", true],
    ["libc6 (>= 2.41)", true],
    ["libc6 (>= 2.41-12)", true],
    ["libc6 (= 2.41-12)", true],
    ["libc6 (<= 2.41-12)", true],
    ["libc6 (>> 2.41-12)", false],
    ["libc6 (<< 2.41-12)", false],
    ["libc6 (= 2.41-13)", false],
    ["libc6 (>= 2.41-12+b1)", false],
    ["libc7", false],
  ])("by its name and version: %s %s", (text, expected) => {
    expect(fulfils(candidate(), relation(text), "amd64")).toBe(expected ? "name" : null);
  });

  it.each([
    ["mta", "mta", true],
    ["mta (>= 1)", "mta", false],
    ["mta (>= 1)", "mta (= 2)", true],
    ["mta (>= 3)", "mta (= 2)", false],
    ["mta", "other, mta (= 2)", true],
  ])("by what it provides: %s by %s %s", (text, provides, expected) => {
    expect(fulfils(candidate({ provides }), relation(text), "amd64")).toBe(expected ? "provides" : null);
  });

  it.each([
    ["libc6", "i386", "amd64", "", false],
    ["libc6", "all", "amd64", "", true],
    ["libc6", "i386", "all", "", true],
    ["libc6", "i386", "amd64", "foreign", true],
    ["libc6:any", "i386", "amd64", "allowed", true],
    ["libc6:any", "i386", "amd64", "same", false],
    ["libc6:i386", "i386", "amd64", "", true],
    ["libc6:i386", "amd64", "amd64", "", false],
  ])("of the right architecture: %s of %s for %s, Multi-Arch %s, %s", (text, architecture, dependent, multiArch, expected) => {
    expect(fulfils(candidate({ architecture, multiArch }), relation(text), dependent) !== null).toBe(expected);
  });
});

describe("a changelog", () => {
  const text = ["3.0-1", "2.0-1", "1.5-1", "1.0-1"]
    .map(
      (version) =>
        `app (${version}) unstable; urgency=medium\n\n  * New in ${version}.\n\n -- A B <a@example.org>  Mon, 01 Jan 2024 00:00:00 +0000\n`,
    )
    .join("\n");

  it("has the entries after one version up to another", () => {
    const between = entriesBetween(text, "1.0-1", "2.0-1");
    expect(between).toMatch(/^app \(2\.0-1\)/);
    expect(between.match(/New in (\S+)\./g)).toEqual(["New in 2.0-1.", "New in 1.5-1."]);
    expect(between.endsWith("+0000")).toBe(true);
  });

  it("has none where nothing lies between, or it is none", () => {
    expect(entriesBetween(text, "3.0-1", "4.0-1")).toBe("");
    expect(entriesBetween("Version 2.0:\n - better\n", "1", "3")).toBe("");
    expect(entriesBetween("", "1", "3")).toBe("");
  });
});
