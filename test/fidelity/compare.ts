/** Two trees, path by path. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Entry } from "./entries.ts";
import { hasNormalForm, normalForm } from "./normal.ts";

/** In what a path differs. "missing": only plain apt made it. "extra": only the layer has it. */
export const DIFFERENCES = ["missing", "extra", "type", "mode", "owner", "xattrs", "target", "content"] as const;
export type DifferenceKind = (typeof DIFFERENCES)[number];

/** One difference between the tree that plain apt made and the layered one. */
export interface Difference {
  /** Logical, relative to the tree. */
  readonly path: string;
  readonly kind: DifferenceKind;
  /** Where it is in each tree, relative to that; null where it is not there. */
  readonly plain: string | null;
  readonly layered: string | null;
}

/** A tree on disk, with its list. */
export interface ListedTree {
  readonly directory: string;
  readonly entries: ReadonlyMap<string, Entry>;
}

/** Every difference, sorted by path. */
export function compareTrees(plain: ListedTree, layered: ListedTree): Difference[] {
  const differences: Difference[] = [];
  for (const path of [...new Set([...plain.entries.keys(), ...layered.entries.keys()])].sort()) {
    const one = plain.entries.get(path);
    const other = layered.entries.get(path);
    const places = { path, plain: one?.path ?? null, layered: other?.path ?? null };
    for (const kind of differencesOf(path, one, other, plain, layered)) differences.push({ ...places, kind });
  }
  return differences;
}

function differencesOf(path: string, one: Entry | undefined, other: Entry | undefined, plain: ListedTree, layered: ListedTree): DifferenceKind[] {
  if (other === undefined) return ["missing"];
  if (one === undefined) return ["extra"];
  if (one.type !== other.type) return ["type"];
  const kinds: DifferenceKind[] = [];
  if (one.mode !== other.mode) kinds.push("mode");
  if (one.owner !== other.owner) kinds.push("owner");
  if (one.xattrs !== other.xattrs) kinds.push("xattrs");
  if (one.target !== other.target) kinds.push("target");
  if (one.type === "f" && !sameContent(path, one, other, plain, layered)) kinds.push("content");
  return kinds;
}

function sameContent(path: string, one: Entry, other: Entry, plain: ListedTree, layered: ListedTree): boolean {
  if (hasNormalForm(path)) return textOf(path, one, plain) === textOf(path, other, layered);
  if (one.sizeBytes !== other.sizeBytes) return false;
  return one.sizeBytes === 0 || readFileSync(join(plain.directory, one.path)).equals(readFileSync(join(layered.directory, other.path)));
}

function textOf(path: string, entry: Entry, tree: ListedTree): string {
  const read = (name: string): string => readFileSync(join(tree.directory, name), "utf8");
  return normalForm(path, read(entry.path), read);
}

/** Without the paths below one that is missing or extra itself: they follow from it. */
export function topmost(differences: readonly Difference[]): Difference[] {
  const whole = new Set(differences.filter(({ kind }) => kind === "missing" || kind === "extra").map(({ path }) => path));
  return differences.filter(({ path }) => {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) if (whole.has(path.slice(0, end))) return false;
    return true;
  });
}
