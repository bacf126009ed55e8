/** Emptying /var of a base, with the top directories that lie in it. */
import { mkdir, rename } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { DPKG_ADMIN_DIR } from "../engines/dpkg.ts";
import { exec } from "../engines/exec.ts";
import { captureVar, linkTo } from "../engines/var.ts";
import { AptOstreeError } from "../model/errors.ts";
import { emptyDirectory, exists, kindOf, makeDirectory, namesIn } from "./files.ts";

const DPKG_PATH = "var/lib/dpkg";
const TMPFILES = { state: "usr/lib/tmpfiles.d/00-apt-ostree.conf", rest: "usr/lib/tmpfiles.d/apt-ostree-var.conf" };

/** Empties /var of a tree that still has /etc, and declares what a boot has to make there. Throws LayerInvalid for a path that no rule covers. */
export async function emptyVar(tree: string): Promise<void> {
  await makeDirectory(tree, dirname(DPKG_ADMIN_DIR));
  await rename(join(tree, DPKG_PATH), join(tree, DPKG_ADMIN_DIR));
  const database = linkTo(`/${DPKG_PATH}`, relative(dirname(`/${DPKG_PATH}`), `/${DPKG_ADMIN_DIR}`));
  await captureVar({ var: join(tree, "var"), root: tree, base: null, etc: "etc", files: TMPFILES, doing: "commit the tree" }, [database]);
  await emptyDirectory(tree, "var");
}

/**
 * Top directories that people write to, moved into /var with a link in their place (ostree's adapting-existing). Their content then
 * takes the way of everything in /var.
 */
export async function moveHomes(tree: string): Promise<void> {
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
