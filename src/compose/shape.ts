/** From a plain Debian tree to one that ostree deploys and that boots (ostree's "adapting-existing", bootc's filesystem rules). */
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../model/errors.ts";
import { writeSysusers } from "./accounts.ts";
import { clean } from "./clean.ts";
import { exists, linkInTree, removeFromTree, writeTreeFile } from "./files.ts";
import { makeSysrootLinks } from "./kernel.ts";
import { emptyVar, moveHomes } from "./varstate.ts";

/** Kernel arguments that belong to the tree, for whoever deploys it (bootc's kargs.d). */
const KARGS_FILE = "usr/lib/bootc/kargs.d/00-apt-ostree.toml";

/** Shapes a tree whose kernel is in place already. Not to be repeated on the same tree. */
export async function shape(tree: string, kargs: readonly string[]): Promise<void> {
  await clean(tree);
  if (kargs.length > 0) await writeTreeFile(tree, KARGS_FILE, `kargs = ${JSON.stringify(kargs)}\n`);
  await writeSysusers(tree);
  await moveHomes(tree);
  await emptyVar(tree);
  await removeFromTree(tree, ["media", ".dockerenv"]);
  await linkInTree(tree, "media", "run/media");
  await makeSysrootLinks(tree);
  if (await exists(tree, "usr/etc"))
    throw new AptOstreeError("LayerInvalid", "cannot use the tree: it has /usr/etc, which is where /etc goes", { details: { path: "/usr/etc" } });
  await rename(join(tree, "etc"), join(tree, "usr/etc"));
  for (const path of ["boot", "dev", "proc", "run", "sys", "tmp", "var"]) {
    if (!(await exists(tree, path))) await mkdir(join(tree, path), { mode: path === "tmp" ? 0o1777 : 0o755 });
  }
}
