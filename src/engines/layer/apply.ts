/** Applying an upper directory to a hardlink checkout: the slow way to a commit, needed where a layer removes paths of the base. */
import { chmod, chown, lstat, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../exec.ts";

/** Moves everything from the upper directory into the tree; whiteouts and opaque directories remove first. The upper is used up. */
export async function applyUpper(upper: string, tree: string, removed: { whiteouts: readonly string[]; opaque: readonly string[] }): Promise<void> {
  const whiteouts = new Set(removed.whiteouts);
  const opaque = new Set(removed.opaque);
  await merge("");

  async function merge(directory: string): Promise<void> {
    for (const entry of await readdir(join(upper, directory), { withFileTypes: true })) {
      const path = join(directory, entry.name);
      const target = join(tree, path);
      const there = await lstat(target).catch(() => null);
      if (whiteouts.has(path)) {
        await rm(target, { recursive: true, force: true });
      } else if (entry.isDirectory() && there?.isDirectory() === true) {
        if (opaque.has(path)) for (const name of await readdir(target)) await rm(join(target, name), { recursive: true, force: true });
        const { mode, uid, gid } = await lstat(join(upper, path));
        await chown(target, uid, gid);
        await chmod(target, mode & 0o7777);
        await merge(path);
      } else {
        // Never over what is there: it is a hardlink to an object of the repository, or a directory.
        if (there !== null) await rm(target, { recursive: true, force: true });
        await move(join(upper, path), target);
      }
    }
  }
}

/** Moves a file or a whole new directory, also from the memory where a layer was assembled to the repository's disk. */
async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    await exec("cp", ["-a", "--remove-destination", "--no-target-directory", "--", from, to]);
  }
}
