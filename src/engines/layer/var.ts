/**
 * What packages wrote under /var while the tree was assembled. /var is shared by all deployments and no part of a commit, so
 * each path goes one way: state that belongs to the deployment moves under /usr and is linked; directories and links become
 * tmpfiles.d(5) lines; files become factory copies that a boot puts in place only where there is none; caches and logs go.
 */
import { lstat, readdir, readlink, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { formatTmpfiles, madeByTmpfiles } from "../../model/tmpfiles.ts";
import { DEPLOYMENT_STATE } from "../../model/varstate.ts";
import { exec } from "../exec.ts";
import { madePathInside, pathInside, readInside } from "../inside.ts";
import { removeTree } from "../tree.ts";
import { refuseForeignNames } from "./check.ts";
import { SCAN_TIMEOUT_MS } from "./upper.ts";

/** Where a layer declares what it needs under /var. */
export const LAYER_TMPFILES = "usr/lib/tmpfiles.d/apt-ostree-layer.conf";
const STATE_DIR = "usr/lib/sysimage/var";
const FACTORY_DIR = "usr/share/factory/var";

/** Files in these directories are caches, logs or leftovers; the directories themselves are kept. */
const DISCARDED =
  /^(cache|log|tmp|lib\/apt\/lists|lib\/apt\/periodic|run|lock|backups)\/|^lib\/systemd\/(random-seed|catalog\/database)$|(^|\/)\.?(lock|pid)$|^lib\/dpkg(\/|$)/;

interface VarEntry {
  readonly path: string;
  readonly type: string;
  readonly mode: string;
  readonly uid: string;
  readonly gid: string;
}

/** Moves everything worth keeping from the private /var into the layer. Sockets, pipes and devices are left behind. */
export async function captureVar(varDir: string, upper: string, baseTree: string): Promise<void> {
  const lines: string[] = [];
  const link = (path: string, to: string): void => {
    lines.push(formatTmpfiles({ type: "L", path: `/var/${path}`, mode: "-", user: "-", group: "-", argument: to }));
  };
  for (const path of DEPLOYMENT_STATE) {
    if (await moveState(varDir, upper, path)) link(path, relative(dirname(`/var/${path}`), `/${STATE_DIR}/${path}`));
  }
  const passwords = await pathInside(upper, `${STATE_DIR}/cache/debconf/passwords.dat`);
  if (passwords !== null) await rm(passwords, { force: true });
  const declared = await declaredPaths([baseTree, upper]);
  const names = await accountNames(upper, baseTree);
  for (const entry of await listVar(varDir)) {
    const path = `/var/${entry.path}`;
    if (declared.has(path) || isState(entry.path)) continue;
    const owner = {
      mode: entry.mode.padStart(4, "0"),
      user: names.users.get(entry.uid) ?? entry.uid,
      group: names.groups.get(entry.gid) ?? entry.gid,
    };
    if (entry.type === "d") {
      lines.push(formatTmpfiles({ type: "d", path, ...owner, argument: "-" }));
    } else if (DISCARDED.test(entry.path)) {
    } else if (entry.type === "l") {
      link(entry.path, await readlink(join(varDir, entry.path)));
    } else if (entry.type === "f") {
      await rename(join(varDir, entry.path), await madePathInside(upper, join(FACTORY_DIR, entry.path)));
      lines.push(formatTmpfiles({ type: "C", path, ...owner, argument: `/${FACTORY_DIR}/${entry.path}` }));
    }
  }
  if (lines.length === 0) return;
  const file = await madePathInside(upper, LAYER_TMPFILES);
  await rm(file, { force: true });
  await writeFile(file, `# What the layered packages need under /var.\n${lines.sort().join("\n")}\n`, { mode: 0o644 });
}

function isState(path: string): boolean {
  return DEPLOYMENT_STATE.some((state) => path === state || path.startsWith(`${state}/`));
}

/** Moves a path of deployment state that is not a link yet; whether it did. */
async function moveState(varDir: string, upper: string, path: string): Promise<boolean> {
  const from = await pathInside(varDir, path);
  const there = from === null ? null : await lstat(from).catch(() => null);
  if (from === null || there === null || !(there.isFile() || there.isDirectory())) return false;
  const to = await madePathInside(upper, join(STATE_DIR, path));
  if (there.isFile()) {
    await removeTree(to);
    await rename(from, to);
    return true;
  }
  if ((await readdir(from)).length === 0) return false;
  // Onto nothing: cp(1) would write through links that a script put where the state goes.
  await removeTree(to);
  await exec("cp", ["-a", "--no-target-directory", "--", from, to], { timeoutMs: SCAN_TIMEOUT_MS });
  await removeTree(from);
  return true;
}

/** Parents first. */
async function listVar(varDir: string): Promise<VarEntry[]> {
  const { stdout } = await exec("find", [varDir, "-mindepth", "1", "-printf", "%y %m %U %G %P\\0"], { timeoutMs: SCAN_TIMEOUT_MS });
  const entries: VarEntry[] = [];
  for (const record of stdout.split("\0")) {
    const match = /^(\S) (\S+) (\S+) (\S+) ([\s\S]+)$/.exec(record);
    if (match === null) continue;
    const [, type = "", mode = "", uid = "", gid = "", path = ""] = match;
    entries.push({ type, mode, uid, gid, path });
  }
  refuseForeignNames(entries.map((entry) => `/var/${entry.path}`));
  return entries;
}

/** The paths that tmpfiles.d of the base and of the layered packages already take care of. */
async function declaredPaths(trees: readonly string[]): Promise<Set<string>> {
  const declared = new Set<string>();
  for (const tree of trees) {
    for (const directory of ["usr/lib/tmpfiles.d", "usr/etc/tmpfiles.d"]) {
      const inside = await pathInside(tree, join(directory, "any"));
      for (const name of inside === null ? [] : await readdir(dirname(inside))) {
        const text = name.endsWith(".conf") ? await readInside(tree, join(directory, name)) : null;
        for (const path of text === null ? [] : madeByTmpfiles(text)) declared.add(path);
      }
    }
  }
  return declared;
}

/** Names by number from the layer's passwd and group files, else the base's: numbers may differ on the host. */
async function accountNames(upper: string, baseTree: string): Promise<{ users: Map<string, string>; groups: Map<string, string> }> {
  const read = async (file: string): Promise<Map<string, string>> => {
    const text = (await readInside(upper, join("usr/etc", file))) ?? (await readInside(baseTree, join("usr/etc", file))) ?? "";
    return new Map(
      text
        .split("\n")
        .map((line) => line.split(":"))
        .filter((fields) => fields.length >= 3)
        .map((fields) => [fields[2] ?? "", fields[0] ?? ""]),
    );
  };
  return { users: await read("passwd"), groups: await read("group") };
}
