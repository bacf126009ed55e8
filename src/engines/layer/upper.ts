/**
 * Reading an overlayfs upper directory (kernel documentation, filesystems/overlayfs): what was added, what was removed, and
 * ridding it of overlayfs's own attributes before it is committed.
 */
import type { Stats } from "node:fs";
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../exec.ts";

/** One entry of an upper directory. */
export interface UpperEntry {
  /** Relative to the upper directory. */
  readonly path: string;
  /** find(1)'s `%y`: f, d, l, c, b, p, s. */
  readonly type: string;
  readonly inode: string;
  /** Time of the last status change, seconds since 1970 with fractions. */
  readonly changedS: number;
  /** Time of the last change of the content, likewise. */
  readonly modifiedS: number;
}

/** What an upper directory holds. */
export interface UpperScan {
  /** Everything but whiteouts. */
  readonly entries: readonly UpperEntry[];
  /** Paths of the base that were removed. */
  readonly whiteouts: readonly string[];
  /** Directories of the base that were replaced as a whole. */
  readonly opaque: readonly string[];
  /** Directories where the base has something else, and the reverse. */
  readonly retyped: readonly string[];
  /** overlayfs's own attributes, by absolute path. */
  readonly attributes: ReadonlyMap<string, readonly string[]>;
}

/** Reading a tree that scripts have made may not take for ever. */
export const SCAN_TIMEOUT_MS = 300_000;

/** Lists an upper directory over a base tree. */
export async function scanUpper(upper: string, baseTree: string): Promise<UpperScan> {
  const entries: UpperEntry[] = [];
  const whiteouts: string[] = [];
  const find = (tree: string, ...tests: string[]) => exec("find", [tree, "-mindepth", "1", ...tests], { timeoutMs: SCAN_TIMEOUT_MS });
  const { stdout } = await find(upper, "-printf", "%y %i %C@ %T@ %P\\0");
  for (const record of stdout.split("\0")) {
    const [, type = "", inode = "", changed = "", modified = "", path] = /^(\S) (\d+) (\S+) (\S+) ([\s\S]+)$/.exec(record) ?? [];
    if (path === undefined) continue;
    const entry = { type, path, inode, changedS: Number(changed), modifiedS: Number(modified) };
    if (entry.type === "c" && isWhiteout(await lstat(join(upper, entry.path)))) whiteouts.push(entry.path);
    else entries.push(entry);
  }
  // As find sees them, so through no link: a link of the base to a directory is no directory.
  const baseDirs = new Set((await find(baseTree, "-type", "d", "-printf", "%P\\0")).stdout.split("\0"));
  // overlayfs marks every directory that it makes or renames as opaque; only those that hide one of the base remove anything.
  const attributes = await overlayAttributes(upper);
  const opaque = [...attributes]
    .filter(([, names]) => names.includes("trusted.overlay.opaque"))
    .map(([path]) => path.slice(upper.length + 1))
    .filter((path) => path !== "" && baseDirs.has(path));
  const retyped: string[] = [];
  for (const { type, path } of entries) {
    if (type !== "d" ? baseDirs.has(path) : !baseDirs.has(path) && baseDirs.has(parentOf(path)) && (await isThere(join(baseTree, path))))
      retyped.push(path);
  }
  return { entries, whiteouts, opaque, retyped, attributes };
}

/** Of a path in a tree; the top has the empty name. */
function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}

/** Removes overlayfs's attributes from an unmounted upper directory; ostree would commit them. */
export async function stripOverlayAttributes(scan: UpperScan): Promise<void> {
  const pathsByName = new Map<string, string[]>();
  for (const [path, names] of scan.attributes) {
    for (const name of names) {
      const paths = pathsByName.get(name);
      if (paths === undefined) pathsByName.set(name, [path]);
      else paths.push(path);
    }
  }
  for (const [name, paths] of pathsByName) {
    for (let i = 0; i < paths.length; i += PATHS_A_CALL) await exec("setfattr", ["-h", "-x", name, "--", ...paths.slice(i, i + PATHS_A_CALL)]);
  }
}

const PATHS_A_CALL = 500;

/** Whether a character device is a whiteout: one with the number 0:0. */
export function isWhiteout(device: Stats): boolean {
  return device.rdev === 0;
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** The `trusted.overlay.*` attributes in a tree, by absolute path, as getfattr(1) prints them. */
async function overlayAttributes(tree: string): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  let path = "";
  await exec("getfattr", ["-R", "-h", "-P", "--absolute-names", "-m", "^trusted\\.overlay\\.", "--", tree], {
    timeoutMs: SCAN_TIMEOUT_MS,
    onLine: (line) => {
      if (line.startsWith("# file: ")) path = unescapeOctal(line.slice("# file: ".length));
      else if (line.startsWith("trusted.overlay.")) found.set(path, [...(found.get(path) ?? []), line]);
    },
  });
  return found;
}

/** getfattr(1) writes unusual bytes of names as a backslash and three octal digits. */
function unescapeOctal(name: string): string {
  if (!name.includes("\\")) return name;
  const parts = name
    .split(/(\\[0-7]{3})/)
    .map((part) => (/^\\[0-7]{3}$/.test(part) ? Buffer.from([Number.parseInt(part.slice(1), 8)]) : Buffer.from(part)));
  return Buffer.concat(parts).toString("utf8");
}
