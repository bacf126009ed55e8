/**
 * Base trees: hardlink checkouts of base commits, made once and kept. Planning reads them, assembling mounts them as the lower
 * layer; nothing ever writes to them (a write through a hardlink would change the object in the repository).
 */
import { mkdir, readdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Paths } from "../paths.ts";
import { removeTree } from "../tree.ts";
import { ostreeRepo } from "./ostree.ts";

/**
 * Base trees by commit; concurrent callers for one commit share the checkout, which is therefore not ended when one of them
 * is cancelled: it takes well under a second.
 */
export class BaseTrees {
  readonly #paths: Paths;
  readonly #making = new Map<string, Promise<string>>();

  constructor(paths: Paths) {
    this.#paths = paths;
  }

  /** The directory of a base commit's tree, checked out if it is not there yet. Appears under its name only when complete. */
  ensure(commit: string): Promise<string> {
    const running = this.#making.get(commit);
    if (running !== undefined) return running;
    const making = this.#make(commit).finally(() => this.#making.delete(commit));
    this.#making.set(commit, making);
    return making;
  }

  /** Removes the trees of all commits but the given ones, and checkouts that a killed daemon left half-made. */
  async prune(keep: ReadonlySet<string>): Promise<void> {
    await mkdir(this.#paths.bases, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#paths.bases)) {
      const isRunning = this.#making.has(name.replace(/\.new$/, ""));
      if (!keep.has(name) && !isRunning) await removeTree(join(this.#paths.bases, name));
    }
  }

  async #make(commit: string): Promise<string> {
    const tree = join(this.#paths.bases, commit);
    const there = await stat(tree).catch(() => null);
    if (there !== null) return tree;
    await mkdir(this.#paths.bases, { recursive: true, mode: 0o700 });
    const fresh = `${tree}.new`;
    await removeTree(fresh);
    try {
      await ostreeRepo(this.#paths, `check out base ${commit}`, ["checkout", "-H", commit, fresh]);
      await rename(fresh, tree);
      return tree;
    } catch (error) {
      await removeTree(fresh);
      throw error;
    }
  }
}
