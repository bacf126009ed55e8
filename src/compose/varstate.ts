/**
 * Emptying /var. A commit cannot hold it, because all deployments share it, so each path goes one way: what belongs to the deployment
 * moves under /usr and is linked; directories and links become tmpfiles.d(5) lines; files become factory copies that a boot puts
 * in place only where there is none; caches, logs and locks go.
 */
import { mkdir, readlink, rename } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { DPKG_ADMIN_DIR } from "../engines/dpkg.ts";
import { exec } from "../engines/exec.ts";
import { AptOstreeError } from "../model/errors.ts";
import { formatTmpfiles, madeByTmpfiles, type TmpfilesEntry } from "../model/tmpfiles.ts";
import { DEPLOYMENT_STATE } from "../model/varstate.ts";
import { type Accounts, readAccounts } from "./accounts.ts";
import { emptyDirectory, exists, kindOf, makeDirectory, namesIn, readTreeFile, writeTreeFile } from "./files.ts";

/** Links to the state of the deployment. Of two lines for a path that of the first file name counts, hence the number. */
const STATE_TMPFILES = "usr/lib/tmpfiles.d/00-apt-ostree.conf";
/** Everything else that packages expect in /var. */
const VAR_TMPFILES = "usr/lib/tmpfiles.d/apt-ostree-var.conf";
/** Where a tree keeps the state of its packages. */
export const STATE_DIR = "usr/lib/sysimage/var";
/** Where a tree keeps the files that a boot copies into /var. */
export const FACTORY_DIR = "usr/share/factory/var";

/** Files that are made anew, or that belong to one machine. Directories are kept. */
const DISCARDED =
  /^(backups|cache|lock|log|run|tmp)\/|^lib\/apt\/(lists|periodic)\/|^lib\/(dbus\/machine-id|misc\/|systemd\/(random-seed|credential\.secret|timers\/|catalog\/database))|(^|\/)(\.lock|lock|\.pid|pid)$/;
/** Empties /var of a tree that still has /etc, and declares what a boot has to make there. Throws LayerInvalid for a device, pipe or socket. */
export async function emptyVar(tree: string): Promise<void> {
  await writeTreeFile(tree, STATE_TMPFILES, textOf("State of this deployment's packages.", await moveState(tree)));
  const declared = await declaredPaths(tree);
  const accounts = await readAccounts(tree);
  const entries: TmpfilesEntry[] = [];
  for (const found of await listVar(tree)) {
    if (declared.has(`/var/${found.path}`)) continue;
    const entry = await entryOf(tree, found, accounts);
    if (entry !== null) entries.push(entry);
  }
  await writeTreeFile(tree, VAR_TMPFILES, textOf("What the packages of this tree expect in /var.", entries));
  await emptyDirectory(tree, "var");
}

function textOf(comment: string, entries: readonly TmpfilesEntry[]): string {
  return `# ${comment}\n${entries.map((entry) => `${formatTmpfiles(entry)}\n`).join("")}`;
}

/** The dpkg database and what else belongs to the deployment, moved; the links that lead to it. */
async function moveState(tree: string): Promise<TmpfilesEntry[]> {
  const moves = [["lib/dpkg", DPKG_ADMIN_DIR], ...DEPLOYMENT_STATE.map((path) => [path, `${STATE_DIR}/${path}`])] as [string, string][];
  const links: TmpfilesEntry[] = [];
  for (const [path, target] of moves) {
    const kind = await kindOf(tree, `var/${path}`);
    const isEmpty = kind === "directory" && (await namesIn(tree, `var/${path}`)).length === 0;
    if ((kind !== "file" && kind !== "directory") || isEmpty) continue;
    await makeDirectory(tree, dirname(target));
    await rename(join(tree, "var", path), join(tree, target));
    links.push({ type: "L", path: `/var/${path}`, mode: "-", user: "-", group: "-", argument: relative(dirname(`/var/${path}`), `/${target}`) });
  }
  return links;
}

interface Found {
  readonly type: string;
  readonly mode: string;
  readonly uid: string;
  readonly gid: string;
  /** Relative to /var. */
  readonly path: string;
}

/** What is in /var, sorted, so that parents come first. */
async function listVar(tree: string): Promise<Found[]> {
  const { stdout } = await exec("find", [join(tree, "var"), "-mindepth", "1", "-printf", "%y %m %U %G %P\\0"]);
  return stdout
    .split("\0")
    .map((record) => /^(\S) (\S+) (\S+) (\S+) ([\s\S]+)$/.exec(record))
    .filter((match) => match !== null)
    .map(([, type = "", mode = "", uid = "", gid = "", path = ""]) => ({ type, mode, uid, gid, path }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function entryOf(tree: string, found: Found, accounts: Accounts): Promise<TmpfilesEntry | null> {
  const isState = DEPLOYMENT_STATE.some((state) => found.path === state || found.path.startsWith(`${state}/`));
  if (isState || (found.type !== "d" && DISCARDED.test(found.path))) return null;
  const path = `/var/${found.path}`;
  const owner = {
    mode: found.mode.padStart(4, "0"),
    user: accounts.users.get(found.uid) ?? found.uid,
    group: accounts.groups.get(found.gid) ?? found.gid,
  };
  if (found.type === "d") return { type: "d", path, ...owner, argument: "-" };
  if (found.type === "l") return { type: "L", path, mode: "-", user: "-", group: "-", argument: await readlink(join(tree, "var", found.path)) };
  if (found.type !== "f")
    throw new AptOstreeError("LayerInvalid", `cannot use the tree: ${path} is neither file, directory nor link`, { details: { path } });
  const factory = `${FACTORY_DIR}/${found.path}`;
  await makeDirectory(tree, dirname(factory));
  await rename(join(tree, "var", found.path), join(tree, factory));
  return { type: "C", path, ...owner, argument: `/${factory}` };
}

async function declaredPaths(tree: string): Promise<Set<string>> {
  const declared = new Set<string>();
  for (const directory of ["usr/lib/tmpfiles.d", "etc/tmpfiles.d"]) {
    for (const name of await namesIn(tree, directory)) {
      if (name.endsWith(".conf")) for (const path of madeByTmpfiles(await readTreeFile(tree, `${directory}/${name}`))) declared.add(path);
    }
  }
  return declared;
}

/**
 * Top directories that people write to, moved into /var with a link in their place (ostree's adapting-existing). Their content then
 * takes the way of everything in /var. Software in /opt stays with the tree, in /usr/lib/opt, with links.
 */
export async function moveHomes(tree: string): Promise<void> {
  for (const name of await namesIn(tree, "opt")) {
    await makeDirectory(tree, "usr/lib/opt");
    await rename(join(tree, "opt", name), join(tree, "usr/lib/opt", name));
    await exec("ln", ["-s", "-T", "--", `../../usr/lib/opt/${name}`, join(tree, "opt", name)]);
  }
  for (const [path, target, link] of [
    ["home", "var/home", "var/home"],
    ["root", "var/roothome", "var/roothome"],
    ["srv", "var/srv", "var/srv"],
    ["mnt", "var/mnt", "var/mnt"],
    ["opt", "var/opt", "var/opt"],
    ["usr/local", "var/usrlocal", "../var/usrlocal"],
  ] as const) {
    const mode = path === "root" ? 0o700 : 0o755;
    if (!(await exists(tree, path))) await mkdir(join(tree, path), { mode });
    if ((await kindOf(tree, path)) !== "directory")
      throw new AptOstreeError("LayerInvalid", `cannot use the tree: /${path} is not a directory`, { details: { path: `/${path}` } });
    // base-files ships /var/opt, and packages may ship more.
    if (await exists(tree, target)) {
      for (const name of await namesIn(tree, target)) await exec("mv", ["-n", "-T", "--", join(tree, target, name), join(tree, path, name)]);
      await exec("rmdir", ["--", join(tree, target)]);
    }
    await rename(join(tree, path), join(tree, target));
    await exec("ln", ["-s", "-T", "--", link, join(tree, path)]);
  }
}
