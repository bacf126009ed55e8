/**
 * Emptying /var of a tree that is to be committed: what belongs to the deployment moves below /usr and is linked; directories,
 * links, pipes and empty logs become tmpfiles.d(5) lines; files become factory copies that a boot puts in place only where there is
 * none. `model/varstate.ts` says what goes where.
 */
import { readdir, readlink, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { accountNames } from "../model/accounts.ts";
import { AptOstreeError } from "../model/errors.ts";
import { formatTmpfiles, madeByTmpfiles, type TmpfilesEntry } from "../model/tmpfiles.ts";
import { FACTORY_DIR, type VarEntry, varFate } from "../model/varstate.ts";
import { configurationFiles, DPKG_ADMIN_DIR, packagedPaths, readStatus, versionIn } from "./dpkg.ts";
import { exec } from "./exec.ts";
import { madePathInside, pathInside, readInside } from "./inside.ts";
import { removeTree } from "./tree.ts";

/** A /var and the tree that gets what was in it. */
export interface VarTree {
  /** The directory that is /var. Whatever moves is taken out of it; the rest stays. */
  readonly var: string;
  /** The tree that gets `usr/…`. */
  readonly root: string;
  /** The tree that `root` lies over, if it lies over one. */
  readonly base: string | null;
  /** Where /etc is in the trees. */
  readonly etc: "etc" | "usr/etc";
  /**
   * The tmpfiles.d file of links to the deployment's state, and that of everything else. Of two lines for a path that of the first file
   * name counts, so the first has a low name.
   */
  readonly files: { readonly state: string; readonly rest: string };
  /** For messages: "cannot DOING: …". */
  readonly doing: string;
}

const SCAN_TIMEOUT_MS = 300_000;

/** Empties a /var. `links`: further links to state. Sockets and devices are left behind. Throws LayerInvalid for a path that no rule covers. */
export async function captureVar(tree: VarTree, links: readonly TmpfilesEntry[] = []): Promise<void> {
  const state: TmpfilesEntry[] = [...links];
  const rest: TmpfilesEntry[] = [];
  const entries = await listVar(tree);
  const declared = await declaredPaths(tree);
  const packaged = await packagedPaths(join(tree.root, DPKG_ADMIN_DIR), "/var");
  const status = await readStatus(join(tree.root, DPKG_ADMIN_DIR));
  const configuration = configurationFiles(status);
  // Modes and owners that somebody changed on the host stay; older versions of systemd do not know the mark.
  const mark = Number.parseInt(versionIn(status, "systemd"), 10) >= FIRST_WITH_MARK ? CREATED_ONLY : "";
  const foreign = foreignOwned(entries);
  const withFiles = new Set(entries.filter(({ type }) => type === "f").map(({ path }) => dirname(path)));
  const names = await ownersOf(tree);
  const stray: string[] = [];
  let movedAbove = "\0";
  let movedWhole = "\0";
  for (const entry of entries) {
    if (entry.path.startsWith(movedAbove)) continue;
    const path = `/var/${entry.path}`;
    const fate = varFate(entry, {
      isShipped: packaged.has(path) && !configuration.has(path),
      isRoots: !foreign.has(entry.path),
      hasFiles: withFiles.has(entry.path),
    });
    if (entry.path.startsWith(movedWhole)) {
      if (fate?.kind === "discard") await rm(join(tree.root, FACTORY_DIR, entry.path), { recursive: true, force: true });
    } else if (fate === null) stray.push(path);
    else if (fate.kind === "state" || fate.kind === "software") {
      await moveInto(tree, entry, fate.to);
      movedAbove = `${entry.path}/`;
      const line = linkTo(path, relative(dirname(path), `/${fate.to}`));
      if (fate.kind === "state") state.push(line);
      else rest.push(line);
    } else if (fate.kind !== "discard" && !declared.has(path)) {
      const user = names.users.get(entry.uid) ?? entry.uid;
      const group = names.groups.get(entry.gid) ?? entry.gid;
      if (fate.kind === "link") rest.push(linkTo(path, await readlink(join(tree.var, entry.path))));
      else if (fate.kind === "whole") {
        await moveInto(tree, entry, `${FACTORY_DIR}/${entry.path}`);
        await exec("find", [join(tree.root, FACTORY_DIR, entry.path), "!", "-type", "d", "!", "-type", "f", "!", "-type", "l", "-delete"]);
        movedWhole = `${entry.path}/`;
        rest.push({ type: "C", path, mode: "-", user: "-", group: "-", argument: `/${FACTORY_DIR}/${entry.path}` });
      } else if (fate.kind === "factory") {
        await moveInto(tree, entry, `${FACTORY_DIR}/${entry.path}`);
        // The copy has the mode of the original, and systemd would set another one at each boot, ":" or not.
        const owner = { mode: "-", user: entry.uid === "0" ? "-" : user, group: entry.gid === "0" ? "-" : group };
        rest.push({ type: "C", path, ...owner, argument: `/${FACTORY_DIR}/${entry.path}` });
      } else {
        const owner = { mode: mark + entry.mode.padStart(4, "0"), user: mark + user, group: mark + group };
        rest.push({ type: LETTERS[fate.kind], path, ...owner, argument: "-" });
      }
    }
  }
  if (stray.length > 0) {
    const shown = stray.slice(0, 10).join(", ");
    throw new AptOstreeError("LayerInvalid", `cannot ${tree.doing}: it is not known what should become of ${shown}`, { details: { paths: stray } });
  }
  await writeLines(tree.root, tree.files.state, "State of this deployment's packages.", state);
  await writeLines(tree.root, tree.files.rest, "What the packages expect in /var.", rest);
}

/** Before a mode, user or group in tmpfiles.d(5): only for what the line itself makes. */
const CREATED_ONLY = ":";
const FIRST_WITH_MARK = 254;
const LETTERS = { directory: "d", pipe: "p", empty: "f" } as const;

/** The line of a link. */
export function linkTo(path: string, argument: string): TmpfilesEntry {
  return { type: "L", path, mode: "-", user: "-", group: "-", argument };
}

/** In place of what is there: a file that a program replaced in /var is newer than the one that its link led to. */
async function moveInto(tree: VarTree, entry: VarEntry, target: string): Promise<void> {
  const to = await madePathInside(tree.root, target);
  await removeTree(to);
  await rename(join(tree.var, entry.path), to);
}

async function writeLines(root: string, name: string, comment: string, lines: readonly TmpfilesEntry[]): Promise<void> {
  if (lines.length === 0) return;
  const file = await madePathInside(root, name);
  await rm(file, { force: true });
  await writeFile(file, `# ${comment}\n${lines.map((line) => `${formatTmpfiles(line)}\n`).join("")}`, { mode: 0o644 });
}

/** Sorted, so that each directory comes first and all that is in it next. Throws LayerInvalid for names that are not UTF-8, which ostree cannot hold. */
async function listVar(tree: VarTree): Promise<VarEntry[]> {
  const { stdout } = await exec("find", [tree.var, "-mindepth", "1", "-printf", "%y %m %U %G %P\\0"], { timeoutMs: SCAN_TIMEOUT_MS });
  const entries = stdout
    .split("\0")
    .map((record) => /^(\S) (\S+) (\S+) (\S+) ([\s\S]+)$/.exec(record))
    .filter((match) => match !== null)
    .map(([, type = "", mode = "", uid = "", gid = "", path = ""]) => ({ type, mode, uid, gid, path }))
    .sort((a, b) => (sortKey(a.path) < sortKey(b.path) ? -1 : 1));
  refuseForeignNames(
    entries.map((entry) => `/var/${entry.path}`),
    tree.doing,
  );
  return entries;
}

/** Without it "a-b" would come between "a" and "a/b". */
function sortKey(path: string): string {
  return path.replaceAll("/", "\x01");
}

/** ostree keeps names in UTF-8 only. What is none was decoded with U+FFFD in it. Throws LayerInvalid naming the paths. */
export function refuseForeignNames(paths: readonly string[], doing: string): void {
  const foreign = paths.filter((path) => path.includes("\ufffd"));
  if (foreign.length === 0) return;
  throw new AptOstreeError("LayerInvalid", `cannot ${doing}: ${foreign.join(", ")} has a name that is not UTF-8`, { details: { paths: foreign } });
}

/** What does not belong to root, and everything above it. */
function foreignOwned(entries: readonly VarEntry[]): Set<string> {
  const foreign = new Set<string>();
  for (const { path, uid } of entries) {
    if (uid === "0") continue;
    for (let above = path; above !== "" && !foreign.has(above); above = above.slice(0, Math.max(above.lastIndexOf("/"), 0))) foreign.add(above);
  }
  return foreign;
}

/** The paths that tmpfiles.d of the trees already takes care of. */
async function declaredPaths({ root, base, etc }: VarTree): Promise<Set<string>> {
  const declared = new Set<string>();
  for (const tree of base === null ? [root] : [base, root]) {
    for (const directory of ["usr/lib/tmpfiles.d", `${etc}/tmpfiles.d`]) {
      const inside = await pathInside(tree, join(directory, "any"));
      for (const name of inside === null ? [] : await readdir(dirname(inside))) {
        const text = name.endsWith(".conf") ? await readInside(tree, join(directory, name)) : null;
        for (const path of text === null ? [] : madeByTmpfiles(text)) declared.add(path);
      }
    }
  }
  return declared;
}

/** Names of owners: their numbers may differ on the host. */
async function ownersOf({ root, base, etc }: VarTree): Promise<ReturnType<typeof accountNames>> {
  const read = async (file: string): Promise<string> =>
    (await readInside(root, join(etc, file))) ?? (base === null ? null : await readInside(base, join(etc, file))) ?? "";
  return accountNames(await read("passwd"), await read("group"));
}
