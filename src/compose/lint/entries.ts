/** All entries of a tree, one by one: what ostree cannot store, what nobody owns, what runs as somebody else. */
import { join } from "node:path";
import { DPKG_ADMIN_DIR } from "../../engines/dpkg.ts";
import { exec } from "../../engines/exec.ts";
import { readAccounts } from "../accounts.ts";
import { type Finding, finder } from "./finding.ts";

const special = finder("error", "special", "let tmpfiles.d(5) or a service make it at boot");
const locked = finder("error", "locked", "give its owner the right to write (chmod u+w)");
const foreignName = finder("error", "name", "rename it: ostree stores names in UTF-8 only");
const unowned = finder("error", "owner", "create the account in a package, or give the file to one that the tree has");
const privileged = finder("warning", "setuid", "keep it only if it is meant: no package of the tree ships it");

interface Entry {
  readonly type: string;
  /** Permissions in octal, with the setuid, setgid and sticky bits. */
  readonly mode: number;
  readonly uid: string;
  readonly gid: string;
  /** Absolute, in the tree. */
  readonly path: string;
}

/** Pipes, devices and sockets; names; directories without the right to write; numbers without a name; setuid programs of no package. */
export async function checkEntries(tree: string): Promise<Finding[]> {
  const accounts = await readAccounts(tree, "usr/etc");
  const problems: Finding[] = [];
  const privilegedPaths: string[] = [];
  for (const { type, mode, uid, gid, path } of await entriesOf(tree)) {
    if (!"fdl".includes(type)) problems.push(special(path, "it is neither file, directory nor link"));
    if (type === "d" && (mode & 0o200) === 0) problems.push(locked(path, "its owner cannot write it, so it could not be removed"));
    if (path.includes("\ufffd")) problems.push(foreignName(path, "its name is not UTF-8"));
    if (!accounts.users.has(uid)) problems.push(unowned(path, `it belongs to user ${uid}, which the tree does not have`));
    if (!accounts.groups.has(gid)) problems.push(unowned(path, `it belongs to group ${gid}, which the tree does not have`));
    if (type === "f" && (mode & 0o6000) !== 0) privilegedPaths.push(path);
  }
  const shipped = await pathsOfPackages(tree, privilegedPaths);
  for (const path of privilegedPaths) if (!shipped.has(path)) problems.push(privileged(path, "it runs with the rights of its owner or group"));
  return problems;
}

async function entriesOf(tree: string): Promise<Entry[]> {
  const { stdout } = await exec("find", [tree, "-xdev", "-mindepth", "1", "-printf", "%y %m %U %G %P\\0"]);
  return stdout.split("\0").flatMap((record) => {
    const [, type = "", mode = "", uid = "", gid = "", path] = /^(\S) (\S+) (\S+) (\S+) ([\s\S]+)$/.exec(record) ?? [];
    return path === undefined ? [] : [{ type, mode: Number.parseInt(mode, 8), uid, gid, path: `/${path}` }];
  });
}

/** Those of the paths that a package of the tree has in its list. */
async function pathsOfPackages(tree: string, paths: readonly string[]): Promise<Set<string>> {
  if (paths.length === 0) return new Set();
  const names = paths.flatMap(namesInLists).flatMap((name) => ["-e", name]);
  const { stdout } = await exec("grep", ["-rhxF", "--include=*.list", ...names, join(tree, DPKG_ADMIN_DIR, "info")], { okStatuses: [0, 1] });
  const listed = new Set(stdout.split("\n"));
  return new Set(paths.filter((path) => namesInLists(path).some((name) => listed.has(name))));
}

/** What packages may call a path of a tree: /usr/etc is their /etc, and some still name programs as before the merge of /usr. */
function namesInLists(path: string): string[] {
  return [path, path.replace(/^\/usr\/etc\//, "/etc/"), path.replace(/^\/usr\//, "/")];
}
