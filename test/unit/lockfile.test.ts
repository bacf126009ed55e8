import { describe, expect, it } from "vitest";
import { formatLockFile, parseLockFile } from "../../src/model/lockfile.ts";

const HASH = "a".repeat(64);
const one = (name: string, architecture = "amd64", version = "1:2.0~x-1") => ({ name, version, architecture, sizeBytes: 7, sha256: HASH });
const LOCK = { architectures: ["amd64", "i386"], suites: ["trixie", "trixie-security"], timestampS: 1700000000 };

describe("a lock file", () => {
  it("has one package a line, sorted, whatever the order was, and is read as it was written", () => {
    const packages = [one("bash"), one("bash-completion", "all"), one("libc6", "amd64"), one("libc6", "i386"), one("2048", "amd64", "1.0")];
    const text = formatLockFile({ ...LOCK, packages: packages.toReversed() });
    expect(text.split("\n").filter((line) => line.startsWith("  - {")).length).toBe(packages.length);
    expect(text).toBe(formatLockFile({ ...LOCK, packages }));
    const read = parseLockFile(text, "x");
    expect(read).toMatchObject(LOCK);
    expect(read.packages.map(({ name, architecture }) => `${name}:${architecture}`)).toEqual([
      "2048:amd64",
      "bash:amd64",
      "bash-completion:all",
      "libc6:amd64",
      "libc6:i386",
    ]);
    expect(formatLockFile(read)).toBe(text);
  });

  it.each([
    ["sha256: ", "sha256: x", "a SHA-256 in hex"],
    ["size: 7", "size: many", "a size in bytes"],
    ['name: "bash"', 'name: "-o=x"', "the name of a package"],
    ["packages:", "package:", 'there is no key "package"'],
  ])("that was broken at %j is refused with file and line", (from, to, why) => {
    const text = formatLockFile({ ...LOCK, packages: [one("bash")] }).replace(from, to);
    expect(() => parseLockFile(text, "a.lock")).toThrow(
      expect.objectContaining({ code: "ConfigInvalid", message: expect.stringMatching(/^cannot use a\.lock:\d+: /) }),
    );
    expect(() => parseLockFile(text, "a.lock")).toThrow(why);
  });

  it("has no package twice", () => {
    const text = formatLockFile({ ...LOCK, packages: [one("bash"), one("bash", "amd64", "3")] });
    expect(() => parseLockFile(text, "a.lock")).toThrow("it has bash:amd64 twice");
  });
});
