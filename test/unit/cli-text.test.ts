import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { diffCount, diffText } from "../../src/cli/diff.ts";
import { bytesOf, durationOf, ordinal, paint, printable, roughDurationOf, shorten, tableOf } from "../../src/cli/format.ts";
import { etaOf, timingsText } from "../../src/cli/stages.ts";
import type { PackageChange } from "../../src/model/plan.ts";
import { compareVersions } from "../../src/model/version.ts";

const change = (name: string, from: string, to: string, architecture = "amd64"): PackageChange => ({ name, architecture, from, to });

describe("package differences", () => {
  it("are grouped, each with its versions", () => {
    const changes = [
      change("bash", "5.2-1", "5.2-2"),
      change("nginx", "", "1.26.3-3"),
      change("tzdata", "2025b-1", "2025a-1"),
      change("vim", "2:9.1", ""),
    ];
    expect(diffText(changes)).toBe(
      "Added:\n  nginx 1.26.3-3\nUpgraded:\n  bash 5.2-1 -> 5.2-2\nDowngraded:\n  tzdata 2025b-1 -> 2025a-1\nRemoved:\n  vim 2:9.1\n",
    );
    expect(diffCount(changes)).toBe("1 added, 1 upgraded, 1 downgraded, 1 removed");
    expect(diffText([])).toBe("");
  });

  it("name the architecture only where there are several", () => {
    expect(diffText([change("libc6", "", "2.41"), change("libc6", "", "2.41", "i386"), change("vim", "", "9.1")])).toBe(
      "Added:\n  libc6:amd64 2.41\n  libc6:i386 2.41\n  vim 9.1\n",
    );
  });
});

describe("the order of versions", () => {
  it("is dpkg's", () => {
    const seed = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
    let state = seed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
      return (state >> 8) % below;
    };
    const part = (letters: string, length: number): string => Array.from({ length }, () => letters[random(letters.length)]).join("");
    const version = (): string =>
      `${random(4) === 0 ? `${random(3)}:` : ""}${random(10)}${part("0019a.+~bZ-", random(6)).replace(/-+$/, "")}${random(2) === 0 ? `-${part("012a~+.", 1 + random(3))}` : ""}`;
    const pairs = Array.from({ length: 300 }, () => [version(), version()] as const);
    // One shell for all of them: a process each would take most of the time.
    const script =
      'while read -r a b; do if dpkg --compare-versions "$a" lt "$b"; then echo -1; elif dpkg --compare-versions "$a" eq "$b"; then echo 0; else echo 1; fi; done';
    const answers = execFileSync("sh", ["-c", script], { input: pairs.map((pair) => `${pair.join(" ")}\n`).join(""), encoding: "utf8" })
      .trim()
      .split("\n");
    const wrong = pairs.filter(([a, b], i) => Math.sign(compareVersions(a, b)) !== Number(answers[i]));
    expect(wrong, `seed ${seed}`).toEqual([]);
  });
});

describe("values as people read them", () => {
  it("give bytes in the unit of the total", () => {
    expect([bytesOf(1, 0), bytesOf(10, 999), bytesOf(500, 2000), bytesOf(12_300_000, 20_100_000), bytesOf(1e8, 2.5e9)]).toEqual([
      "",
      "10/999 B",
      "0.5/2.0 kB",
      "12.3/20.1 MB",
      "0.1/2.5 GB",
    ]);
  });

  it("give durations with the precision that matters", () => {
    expect([240, 999, 12_340, 59_990, 125_000, 11_220_000].map(durationOf)).toEqual([
      "0.24 s",
      "1.0 s",
      "12.3 s",
      "1 min 00 s",
      "2 min 05 s",
      "3 h 07 min",
    ]);
  });

  it("guess with no more precision than a guess has", () => {
    expect([0, 3400, 42_000, 58_000, 130_000, 3_500_000, 4_100_000, 7_300_000].map(roughDurationOf)).toEqual([
      "1 s",
      "3 s",
      "40 s",
      "1 min",
      "2 min",
      "58 min",
      "1 h 10 min",
      "2 h",
    ]);
    expect(etaOf({ eta: { p50Ms: 40_000, p90Ms: 42_000 } })).toBe("about 40 s left");
    expect(etaOf({ eta: { p50Ms: 40_000, p90Ms: 120_000 } })).toBe("about 40 s left, at most 2 min");
    expect(etaOf({ eta: null })).toBe("");
  });

  it("count places in a queue", () => {
    expect([1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal)).toEqual([
      "1st",
      "2nd",
      "3rd",
      "4th",
      "11th",
      "12th",
      "13th",
      "21st",
      "102nd",
      "111th",
    ]);
  });

  it("say how long each stage took, what came from a cache and what was waited for", () => {
    const timings = [
      { stage: "planning" as const, waitedMs: 3, tookMs: 500, cached: false },
      { stage: "downloading" as const, waitedMs: 0, tookMs: 10, cached: true },
      { stage: "assembling" as const, waitedMs: 2000, tookMs: 9100, cached: false },
    ];
    expect(timingsText(timings)).toBe("Took 11.6 s: planning 0.50 s, downloading cached, assembling 9.1 s (waited 2.0 s)");
    expect(timingsText([])).toBe("");
  });

  it("are cut, cleaned and set in columns", () => {
    expect([shorten("abcdef", 6), shorten("abcdef", 4), shorten("abcdef", 1), shorten("abc", 0)]).toEqual(["abcdef", "abc…", "…", ""]);
    expect(printable("a\tb\nc\u0007d\u001b[31me\u009f")).toBe("a b cde");
    expect(
      tableOf([
        ["ID", "TITLE"],
        ["1", "x"],
        ["234", ""],
      ]),
    ).toBe("ID   TITLE\n1    x\n234\n");
    expect(paint({ colour: false }, "red", "x")).toBe("x");
    expect(paint({ colour: true }, "red", "x")).toBe("\u001b[31mx\u001b[39m");
  });
});
