import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PITFALLS } from "../pitfalls.ts";

const TEST = join(import.meta.dirname, "..");
const SETS = new Set(
  readFileSync(join(TEST, "fidelity/lists/full.list"), "utf8")
    .split("\n")
    .concat(readFileSync(join(TEST, "fidelity/lists/short.list"), "utf8").split("\n")),
);

describe("the pitfalls of Debian on OSTree", () => {
  it("are all there, each with what shows that it is none, or why nothing does", () => {
    expect(PITFALLS).toHaveLength(62);
    for (const { what, proofs, open } of PITFALLS) expect(proofs.length > 0, what).toBe(open === undefined);
  });

  it("have proofs that are there: tests of that name, sets of the lists", () => {
    for (const { what, proofs } of PITFALLS) {
      for (const proof of proofs) {
        if ("set" in proof) expect(SETS.has(proof.set), `${what}: ${proof.set}`).toBe(true);
        else {
          const names = [...readFileSync(join(TEST, `${proof.file}.test.ts`), "utf8").matchAll(/\b(?:test|it)\(\s*["'`]([^\n]*?)["'`],/g)].map(
            ([, name]) => name ?? "",
          );
          expect(
            names.some((name) => proof.title !== "" && name.includes(proof.title)),
            `${what}: ${proof.file}: ${proof.title}`,
          ).toBe(true);
        }
      }
    }
  });
});
