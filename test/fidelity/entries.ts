/** A tree as a list: every path with all that two trees are compared by, save for what files hold. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../../src/engines/exec.ts";
import { logicalPath } from "./logical.ts";
import { readXattrs } from "./xattrs.ts";

/** One path of a tree. */
export interface Entry {
  /** Where it is on disk, relative to the tree. */
  readonly path: string;
  /** find(1)'s `%y`: f, d, l, c, b, p, s. */
  readonly type: string;
  /** Octal; "" for a link, whose mode means nothing. */
  readonly mode: string;
  /** "user:group" by name; the number where the tree has no name for it. */
  readonly owner: string;
  readonly sizeBytes: number;
  /** Where a link leads, "" for everything else. */
  readonly target: string;
  /** Extended attributes as text, numbers of accounts replaced by names. */
  readonly xattrs: string;
}

/** Names by number, for both kinds of accounts. */
export interface Names {
  readonly users: ReadonlyMap<string, string>;
  readonly groups: ReadonlyMap<string, string>;
}

/** Every path of a tree by its logical name, without what is no part of one: /dev, /proc, /run, /sys and /tmp. */
export async function listTree(tree: string): Promise<Map<string, Entry>> {
  const names = await readNames(tree);
  const xattrs = await readXattrs(tree, names);
  const skipped = ["dev", "proc", "run", "sys", "tmp"].flatMap((name) => ["-path", `${tree}/${name}/*`, "-prune", "-o"]);
  const { stdout } = await exec("find", [tree, "-xdev", "-mindepth", "1", ...skipped, "-printf", "%y %m %U %G %s %P\\0%l\\0"], {
    maxOutputBytes: MAX_LIST_BYTES,
  });
  const fields = stdout.split("\0");
  const found: Entry[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [, type = "", mode = "", uid = "", gid = "", size = "", path = ""] = /^(\S) (\S+) (\d+) (\d+) (\d+) ([\s\S]+)$/.exec(fields[i] ?? "") ?? [];
    const owner = `${names.users.get(uid) ?? uid}:${names.groups.get(gid) ?? gid}`;
    found.push({
      path,
      type,
      mode: type === "l" ? "" : mode,
      owner,
      sizeBytes: type === "f" ? Number(size) : 0,
      target: fields[i + 1] ?? "",
      xattrs: xattrs.get(path) ?? "",
    });
  }
  return byLogicalPath(found);
}

/** What is in /var itself counts more than what is kept for it elsewhere: a program may have replaced the link by a file. */
function byLogicalPath(found: readonly Entry[]): Map<string, Entry> {
  const named = found.map((entry) => ({ entry, name: logicalPath(entry) }));
  const moved = named.filter(({ entry, name }) => name !== entry.path);
  const others = named.filter(({ entry, name }) => name === entry.path);
  const entries = new Map<string, Entry>();
  for (const { entry, name } of [...moved, ...others]) if (name !== null) entries.set(name, entry);
  return entries;
}

async function readNames(tree: string): Promise<Names> {
  const read = async (file: string): Promise<Map<string, string>> =>
    new Map(
      (await readFile(join(tree, "etc", file), "utf8"))
        .split("\n")
        .map((line) => line.split(":"))
        .filter((row) => row.length >= 3)
        .map(([name = "", , id = ""]) => [id, name]),
    );
  return { users: await read("passwd"), groups: await read("group") };
}

const MAX_LIST_BYTES = 512 * 1024 * 1024;
