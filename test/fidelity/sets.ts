/** Package sets by name, and the lists of them that come with the checkout. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkoutRoot } from "../../src/sandbox/layout.ts";

/** The packages of "nginx+vim", sorted. A "+" is also part of names such as g++ or libstdc++6: it parts two names only where a letter follows. */
export function parseSet(text: string): string[] {
  return text.split(/(?<=[a-z0-9+])\+(?=[a-z])/).sort();
}

/** The sets of a list: one a line; blank lines and what follows a # do not count. */
export function parseList(text: string): string[][] {
  return text
    .split("\n")
    .map((line) => line.replace(/#.*$/, "").trim())
    .filter((line) => line !== "")
    .map(parseSet);
}

/** Reads a list. Throws what reading a file throws. */
export function readList(path: string): string[][] {
  return parseList(readFileSync(path, "utf8"));
}

/** The path of a list of the checkout: "short" or "full". */
export function listFile(name: string): string {
  return join(checkoutRoot(), "test/fidelity/lists", `${name}.list`);
}
