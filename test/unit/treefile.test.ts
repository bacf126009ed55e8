import { readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AptOstreeError } from "../../src/model/errors.ts";
import { fillTemplate, parseTreefile } from "../../src/model/treefile.ts";

const MINIMAL = "suite: trixie\nref: debian/13/{arch}/base\nversion: 13.{date}\n";

function failure(text: string): AptOstreeError {
  try {
    parseTreefile(text, "base.yaml");
  } catch (error) {
    if (error instanceof AptOstreeError) return error;
    throw error;
  }
  throw new Error("the treefile was accepted");
}

describe("a treefile", () => {
  it("needs a suite, a ref and a version, and means plain Debian main of this machine's sources by default", () => {
    expect(parseTreefile(MINIMAL, "base.yaml")).toEqual({
      suite: "trixie",
      architectures: [],
      components: ["main"],
      ref: "debian/13/{arch}/base",
      version: "13.{date}",
      packages: [],
      archPackages: {},
      recommends: false,
      kargs: [],
      units: { enable: [], mask: [] },
      addFiles: [],
      postprocess: null,
      debconf: [],
      sources: "machine",
    });
    for (const key of ["suite", "ref", "version"])
      expect(failure(MINIMAL.replace(new RegExp(`^${key}:.*\n`, "m"), "")).message).toContain(`the key ${key} is missing`);
  });

  it("holds everything that the base of the sandbox says", async () => {
    const path = join(import.meta.dirname, "../../src/sandbox/base.yaml");
    const treefile = parseTreefile(await readFile(path, "utf8"), path);
    expect(treefile.suite).toBe("trixie");
    expect(treefile.packages).toEqual(expect.arrayContaining(["ostree-boot", "dracut", "nodejs", "bubblewrap", "attr", "polkitd"]));
    expect(treefile.archPackages.amd64).toContain("linux-image-cloud-amd64");
    expect(treefile.units.mask).toContain("apt-daily.timer");
  });

  it("names file, line and key of a misspelt key, also of one inside another", () => {
    expect(failure(`${MINIMAL}package: [vim]\n`).message).toMatch(/^cannot use base\.yaml:4: there is no key "package" here; known are .*packages/);
    expect(failure(`${MINIMAL}units:\n  enable: []\n  masks: [a.timer]\n`)).toMatchObject({
      code: "ConfigInvalid",
      message: expect.stringContaining('base.yaml:6: there is no key "masks"'),
      details: { file: "base.yaml", line: 6, key: "units.masks" },
    });
  });

  it("names file, line and key of a value of the wrong kind", () => {
    expect(failure(`${MINIMAL}packages: vim\n`).message).toBe('cannot use base.yaml:4: packages is "vim", not a list');
    expect(failure(`${MINIMAL}recommends: "yes"\n`).message).toBe('cannot use base.yaml:4: recommends is "yes", not true or false');
    expect(failure(`${MINIMAL}packages:\n  - vim\n  - 7\n`).message).toBe("cannot use base.yaml:6: packages[1] is 7, not a string");
    expect(failure("- a list\n").message).toBe("cannot read base.yaml: it is not a mapping of keys to values");
    expect(failure("").message).toContain("not a mapping");
    expect(failure(`${MINIMAL}suite: sid\n`).message).toMatch(/^cannot read base\.yaml:4: .*unique/);
    expect(failure("suite: [trixie\n").code).toBe("ConfigInvalid");
  });

  it("lets nothing through that a program could take for an option or a second argument", () => {
    for (const bad of [
      "packages: [-oDir::Bin::dpkg=x]",
      "packages: ['vim,evil']",
      "packages: ['vim evil']",
      "units: {enable: [--root=x.service]}",
      "components: ['main contrib']",
    ])
      expect(failure(`${MINIMAL}${bad}\n`).code, bad).toBe("ConfigInvalid");
    for (const bad of ["suite: -x", "suite: a/../b", "ref: ../x", "ref: -x", "version: 'a b'"]) {
      const [key = ""] = bad.split(":");
      expect(failure(`${MINIMAL.replace(new RegExp(`^${key}:.*\n`, "m"), "")}${bad}\n`).code, bad).toBe("ConfigInvalid");
    }
    expect(failure(`${MINIMAL}sources:\n  - {uri: 'http://h/ x [trusted=yes]', suites: [a], components: [main]}\n`).code).toBe("ConfigInvalid");
  });

  it("takes permissions as they are written, with and without quotes, and nothing that is not octal", () => {
    const modeOf = (mode: string): number | undefined =>
      parseTreefile(`${MINIMAL}add-files:\n  - {path: /etc/x, content: y, ${mode}}\n`, "base.yaml").addFiles[0]?.mode;
    expect(modeOf("mode: 0600")).toBe(0o600);
    expect(modeOf('mode: "0755"')).toBe(0o755);
    expect(modeOf("mode: 0o4755")).toBe(0o4755);
    expect(modeOf("mode: 640")).toBe(0o640);
    expect(modeOf("mode: null")).toBe(0o644);
    expect(() => modeOf("mode: 0688")).toThrow("add-files[0].mode is 688, not octal permissions");
    expect(() => modeOf("mode: u=rw")).toThrow("octal permissions");
  });

  it("puts files only where a tree can hold them", () => {
    const at = (path: string): string => `${MINIMAL}add-files:\n  - {path: ${path}, content: x}\n`;
    for (const path of ["etc/x", "/etc/../x", "/etc//x", "/run/x", "/tmp/x", "/boot/x", "/dev/x", "/usr/etc/x", "/sysroot/x"])
      expect(failure(at(path)).code, path).toBe("ConfigInvalid");
    for (const path of ["/etc/x", "/var/lib/x", "/opt/x/y", "/runner", "/usr/local/bin/x"])
      expect(parseTreefile(at(path), "base.yaml").addFiles[0]?.path).toBe(path);
    expect(failure(`${MINIMAL}add-files:\n  - {path: /etc/x}\n`).message).toContain("with either content or from");
    expect(failure(`${MINIMAL}add-files:\n  - {path: /etc/x, content: a, from: b}\n`).message).toContain("with either content or from");
  });

  it("takes a script as text or as a file", () => {
    expect(parseTreefile(`${MINIMAL}postprocess-script: |\n  rm -f /etc/motd\n`, "base.yaml").postprocess).toEqual({ content: "rm -f /etc/motd\n" });
    expect(parseTreefile(`${MINIMAL}postprocess-script: {file: fix.sh}\n`, "base.yaml").postprocess).toEqual({ from: "fix.sh" });
  });

  it("fills templates and refuses unknown ones", () => {
    expect(fillTemplate("debian/13/{arch}/{suite}", { arch: "arm64", suite: "trixie" })).toBe("debian/13/arm64/trixie");
    expect(failure(MINIMAL.replace("{date}", "{time}")).message).toContain("no templates but {arch}, {suite}, {date}");
    expect(failure(MINIMAL.replace("{arch}", "{date}")).message).toContain("no templates but {arch}, {suite}");
  });

  it("is refused with a typed error or accepted, whatever its text", () => {
    const lines = fc.array(
      fc.oneof(
        fc.constantFrom(
          ...MINIMAL.split("\n"),
          "packages:",
          "  - vim",
          "units: {mask: [a]}",
          "add-files: [{path: /a, mode: 7}]",
          "? [a]",
          "&a b: *a",
        ),
        fc.string(),
      ),
    );
    fc.assert(
      fc.property(lines, (parts) => {
        try {
          parseTreefile(parts.join("\n"), "x");
        } catch (error) {
          if (!(error instanceof AptOstreeError) || error.code !== "ConfigInvalid") throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
});
