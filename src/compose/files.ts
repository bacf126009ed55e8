/** Writing into a tree from outside, without following a link of the tree out of it. */
import { lstat, mkdir, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AptOstreeError } from "../model/errors.ts";

/** The path of a file in a tree with the links of its directories resolved. Throws LayerInvalid where they lead out of the tree. */
async function inside(tree: string, path: string): Promise<string> {
  const root = await realpath(tree);
  const directory = await realpath(dirname(join(tree, path)));
  if (directory !== root && !directory.startsWith(`${root}/`))
    throw new AptOstreeError("LayerInvalid", `cannot write /${path} of the tree: a link in it leads out of the tree`, {
      details: { path: `/${path}` },
    });
  return join(directory, basename(path));
}

/** Makes a directory of a tree and those above it, mode 0755. Below an absolute link it refuses. */
export async function makeDirectory(tree: string, path: string): Promise<void> {
  let made = "";
  for (const part of path.split("/")) {
    made = made === "" ? part : `${made}/${part}`;
    await mkdir(await inside(tree, made), { mode: 0o755 }).catch(ignore("EEXIST"));
  }
}

/** Writes a file of a tree in place of what is there, with the directories above it. */
export async function writeTreeFile(tree: string, path: string, content: string, mode = 0o644): Promise<void> {
  await makeDirectory(tree, dirname(path));
  const target = await inside(tree, path);
  await rm(target, { recursive: true, force: true });
  await writeFile(target, content, { mode, flag: "wx" });
}

/** Makes a link of a tree in place of what is there; a directory must be empty. */
export async function linkInTree(tree: string, path: string, to: string): Promise<void> {
  const target = await inside(tree, path);
  await rm(target, { recursive: true, force: true });
  await symlink(to, target);
}

/** Removes paths of a tree, whatever they are; absent ones and those below an absent directory are passed over. */
export async function removeFromTree(tree: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if (await exists(tree, dirname(path))) await rm(await inside(tree, path), { recursive: true, force: true });
  }
}

/** Empties a directory of a tree. */
export async function emptyDirectory(tree: string, path: string): Promise<void> {
  await removeFromTree(
    tree,
    (await namesIn(tree, path)).map((name) => `${path}/${name}`),
  );
}

/** Whether a path of a tree is there; a link counts, wherever it leads. */
export async function exists(tree: string, path: string): Promise<boolean> {
  return (await kindOf(tree, path)) !== "nothing";
}

/** What a path of a tree is. */
export async function kindOf(tree: string, path: string): Promise<"file" | "directory" | "link" | "other" | "nothing"> {
  const stats = await lstat(join(tree, path)).catch(ignore("ENOENT", "ENOTDIR"));
  if (stats == null) return "nothing";
  return stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "link" : "other";
}

/** The names in a directory of a tree, sorted; none where there is no such directory. */
export async function namesIn(tree: string, path: string): Promise<string[]> {
  return ((await readdir(join(tree, path)).catch(ignore("ENOENT", "ENOTDIR"))) ?? []).sort();
}

/** The text of a file of a tree, empty where there is none. */
export async function readTreeFile(tree: string, path: string): Promise<string> {
  return (await readFile(join(tree, path), "utf8").catch(ignore("ENOENT"))) ?? "";
}

/** For `catch`: passes over errors with one of the codes. */
export function ignore(...codes: string[]): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (!codes.includes(error.code ?? "")) throw error;
  };
}
