import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isId, newId } from "../../src/model/ids.ts";
import { checkPackageSpec, matchesPattern, packageName } from "../../src/model/names.ts";
import { makeRequest, titleOf } from "../../src/model/request.ts";
import { canDryRun, KINDS } from "../../src/model/transaction.ts";
import { plainRequest, valuesFor } from "../harness/requests.ts";

const invalid = expect.objectContaining({ code: "InvalidRequest" });

describe("a package name", () => {
  it("is what Debian allows, with an architecture, a version or a suite", () => {
    for (const spec of [
      "vim",
      "g++",
      "libstdc++6",
      "0ad",
      "a2ps",
      "vim:amd64",
      "vim=2:9.1.1230-2",
      "vim/trixie-backports",
      "libc6:i386=2.41-12",
      "x+y.z-1",
    ])
      expect(checkPackageSpec(spec)).toBe(spec);
    for (const version of ["1.0~rc1+dfsg-1", "1:2.3-4+deb13u1", "0"]) expect(checkPackageSpec(`vim=${version}`)).toBe(`vim=${version}`);
  });

  it("never looks like an option", () => {
    for (const spec of ["-y", "--force-yes", "-oDebug::x=1", "--", "-", "+vim", ".vim"]) expect(() => checkPackageSpec(spec), spec).toThrow(invalid);
  });

  it("has nothing that a shell, a path or a line could mean something by", () => {
    for (const character of " \t\n\r\0;&|<>()$`\\\"'[]#!{},@%é\u2028") {
      expect(() => checkPackageSpec(`vi${character}m`), JSON.stringify(character)).toThrow(invalid);
      expect(() => checkPackageSpec(`vim${character}`), JSON.stringify(character)).toThrow(invalid);
      expect(() => checkPackageSpec(`vim=1${character}`), JSON.stringify(character)).toThrow(invalid);
    }
    for (const spec of ["", "v", "Vim", "../vim", "/etc/passwd", "./vim.deb", "vim/../x", "vim=", "vim/", "vim:", "vim:amd64:i386", "vim=1=2"])
      expect(() => checkPackageSpec(spec), spec).toThrow(invalid);
  });

  it("is refused in a message of bounded length, however long it is", () => {
    const long = "a".repeat(1_000_000);
    expect(() => checkPackageSpec("a".repeat(257))).toThrow(invalid);
    try {
      checkPackageSpec(long);
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message.length).toBeLessThan(500);
    }
  });

  it("is safe on any command line, whatever is tried", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 20 }), (text) => {
        try {
          expect(checkPackageSpec(text)).toMatch(/^[a-z0-9*?][A-Za-z0-9+.~:=/*?-]*\^?$/);
        } catch (error) {
          expect((error as { code: string }).code).toBe("InvalidRequest");
        }
      }),
    );
  });

  it("may be a pattern or a task, as apt takes them", () => {
    for (const spec of ["fonts-*", "lib?", "ssh-server^"]) expect(checkPackageSpec(spec)).toBe(spec);
    for (const spec of ["fonts-*=1", "*/trixie", "^", "a^b", "vim^^", "-*", "vim:*"]) expect(() => checkPackageSpec(spec), spec).toThrow(invalid);
  });

  it("without its architecture, version and suite is the bare one", () => {
    for (const spec of ["g++", "g++:amd64", "g++=4:14.2", "g++/trixie", "g++:amd64=4:14.2"]) expect(packageName(spec)).toBe("g++");
  });
});

describe("a pattern of names", () => {
  /** As fnmatch(3) defines it: "*" is any number of characters, "?" one, and all else itself. */
  function matches(name: string, pattern: string): boolean {
    if (pattern === "") return name === "";
    if (pattern.startsWith("*")) return matches(name, pattern.slice(1)) || (name !== "" && matches(name.slice(1), pattern));
    return name !== "" && (pattern[0] === "?" || pattern[0] === name[0]) && matches(name.slice(1), pattern.slice(1));
  }

  it("stands for the names that fnmatch(3) says", () => {
    const pairs = fc.tuple(
      fc.string({ unit: fc.constantFrom("a", "b", "+"), maxLength: 7 }),
      fc.string({ unit: fc.constantFrom("a", "b", "+", "*", "?"), maxLength: 7 }),
    );
    fc.assert(
      fc.property(pairs, ([name, pattern]) => {
        expect(matchesPattern(name, pattern)).toBe(matches(name, pattern));
      }),
      { numRuns: 5000 },
    );
  });

  it("stands for whole names, in which every other character is itself", () => {
    expect(["fonts-dejavu", "fonts-", "xfonts-base", "fonts"].filter((name) => matchesPattern(name, "fonts-*"))).toEqual(["fonts-dejavu", "fonts-"]);
    expect(["g++", "gcc", "g+"].filter((name) => matchesPattern(name, "g+?"))).toEqual(["g++"]);
    expect(["lib.a", "libxa"].filter((name) => matchesPattern(name, "lib.*"))).toEqual(["lib.a"]);
  });

  it("that could be tried in more ways than there is time for is answered all the same", () => {
    const name = "a".repeat(250);
    for (const part of ["?*", "a*", "*?"]) {
      const pattern = `*${part.repeat(100)}`;
      expect([matchesPattern(name, pattern), matchesPattern(name, `${pattern}b`)], pattern).toEqual([true, false]);
    }
  });
});

describe("a request", () => {
  it("is the same however its packages were named", () => {
    const request = makeRequest("install", { packages: ["vim", "nano", "vim"] });
    expect(request).toEqual({ kind: "install", packages: ["nano", "vim"], targets: [], idempotent: false });
    expect(titleOf(request)).toBe("install nano vim");
    expect(makeRequest("cleanup", { targets: ["repomd", "base", "base"] }).targets).toEqual(["base", "repomd"]);
    expect(titleOf(makeRequest("rollback"))).toBe("rollback");
  });

  it("is refused where its kind is unknown, also the ones that every object knows", () => {
    for (const kind of ["", "Install", "constructor", "__proto__", "x".repeat(100_000)]) expect(() => makeRequest(kind)).toThrow(invalid);
  });

  it("has packages where its kind takes them, and only there", () => {
    for (const kind of ["install", "uninstall"]) expect(() => makeRequest(kind, { packages: [] })).toThrow(invalid);
    expect(makeRequest("prefetch").packages).toEqual([]);
    for (const kind of ["upgrade", "rollback", "refresh"]) expect(() => makeRequest(kind, { packages: ["vim"] }), kind).toThrow(invalid);
    expect(() => makeRequest("cleanup", { targets: ["base"], packages: ["vim"] })).toThrow(invalid);
  });

  it("has targets where it cleans up, and only there", () => {
    expect(() => makeRequest("cleanup")).toThrow(invalid);
    expect(() => makeRequest("cleanup", { targets: ["everything"] })).toThrow(invalid);
    for (const kind of KINDS.filter((k) => k !== "cleanup"))
      expect(() => makeRequest(kind, { ...valuesFor(kind), targets: ["base"] }), kind).toThrow(invalid);
  });

  it("names one transaction where it undoes, by its id, and only there", () => {
    const id = newId();
    const request = makeRequest("undo", { undoes: id });
    expect(request).toEqual({ kind: "undo", packages: [], targets: [], idempotent: false, undoes: id });
    expect(titleOf(request)).toBe(`undo ${id}`);
    for (const undoes of ["", "vim", `${id}0`, id.toUpperCase().replace(/^./, "A"), `../${id}`, "x".repeat(100_000)])
      expect(() => makeRequest("undo", { undoes }), undoes.slice(0, 20)).toThrow(invalid);
    expect(() => makeRequest("undo")).toThrow(invalid);
    expect(() => makeRequest("undo", { undoes: id, packages: ["vim"] })).toThrow(invalid);
    for (const kind of KINDS.filter((k) => k !== "undo")) {
      const values = valuesFor(kind);
      expect(() => makeRequest(kind, { ...values, undoes: id }), kind).toThrow(invalid);
      expect(Object.keys(makeRequest(kind, values)), kind).not.toContain("undoes");
    }
  });

  it("says what it does beside names where its kind takes that, and only there", () => {
    for (const kind of KINDS) {
      for (const values of [{ dryRun: true }, { plan: "0".repeat(40) }, { scriptNetwork: true }]) {
        const make = () => makeRequest(kind, { ...valuesFor(kind), ...values });
        if (canDryRun(kind)) expect(make(), kind).toMatchObject(values);
        else expect(make, kind).toThrow(invalid);
      }
      expect(Object.keys(plainRequest(kind)), kind).not.toContain("dryRun");
    }
    expect(titleOf(makeRequest("install", { files: ["/srv/tool.deb", "https://host/pool/other_1_all.deb?x"], dryRun: true }))).toBe(
      "install tool.deb other_1_all.deb --dry-run",
    );
    expect(titleOf(makeRequest("rebase", { refspec: "a:b/c", revision: "13.1" }))).toBe("rebase a:b/c 13.1");
  });

  it("names files by absolute paths and by addresses", () => {
    for (const file of ["tool.deb", "./tool.deb", "", "ftp://host/x.deb", "http://", "https://host", "/x\0", `/${"x".repeat(5000)}`])
      expect(() => makeRequest("install", { files: [file] }), file.slice(0, 20)).toThrow(invalid);
    expect(() => makeRequest("uninstall", { packages: ["vim"], files: ["/tool.deb"] })).toThrow(invalid);
    expect(() => makeRequest("override", { action: "remove", files: ["/tool.deb"] })).toThrow(invalid);
  });

  it("names bases by refspecs, and what lies in their history by a revision", () => {
    for (const refspec of ["", "a b", "../x", "a:b:c", ":x", "/x", "--help", "a//b"])
      expect(() => makeRequest("rebase", { refspec }), refspec).toThrow(invalid);
    for (const revision of ["", "-x", "a b", "x".repeat(200)]) expect(() => makeRequest("deploy", { revision }), revision).toThrow(invalid);
    expect(() => makeRequest("rebase")).toThrow(invalid);
    expect(() => makeRequest("deploy")).toThrow(invalid);
    expect(() => makeRequest("override", { action: "eat", packages: ["vim"] })).toThrow(invalid);
    expect(() => makeRequest("reset", { action: "remove" })).toThrow(invalid);
  });

  it("names a bounded number of packages, files and targets, and no one of them is looked at where there are more", () => {
    const packages = Array.from({ length: 2001 }, (_, i) => `package${i}`);
    expect(() => makeRequest("install", { packages })).toThrow(invalid);
    expect(makeRequest("install", { packages: packages.slice(1) }).packages).toHaveLength(2000);
    const files = Array.from({ length: 101 }, (_, i) => `/srv/${i}.deb`);
    expect(() => makeRequest("install", { files })).toThrow(invalid);
    expect(makeRequest("install", { files: files.slice(1) }).files).toHaveLength(100);

    // What is not a name of anything: a message about it would say that it was looked at.
    const many = Array.from({ length: 100_000 }, () => "-");
    expect(() => makeRequest("install", { packages: many })).toThrow("cannot install: more than 2000 packages in one request");
    expect(() => makeRequest("install", { files: many })).toThrow("cannot install: more than 100 files in one request");
    expect(() => makeRequest("cleanup", { targets: many })).toThrow("cannot cleanup: more than 100 targets in one request");
  });
});

describe("an id", () => {
  it("is known by its form and not given twice", () => {
    const ids = Array.from({ length: 1000 }, newId);
    expect(new Set(ids).size).toBe(1000);
    expect(ids.every(isId)).toBe(true);
    for (const other of ["", "0123456789a", "0123456789abc", "0123456789AB", "../../../etc", "0123456789ab\n"])
      expect(isId(other), other).toBe(false);
  });
});
