/** Whole trees on disk. */
import { exec } from "./exec.ts";

/** Removes a tree, however large, or nothing where there is none; does not cross file systems. In a child: a tree has 10,000s of entries. */
export async function removeTree(path: string): Promise<void> {
  await exec("rm", ["-rf", "--one-file-system", "--", path]);
}
