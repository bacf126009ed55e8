/** What packages leave in a layer that is of one moment or of one host, removed before the layer is looked at. */
import { lstat, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { STATE_DIR } from "../../model/varstate.ts";
import { unstampBytecode } from "../bytecode.ts";
import { leftConfigurations } from "../conffiles.ts";
import { DPKG_ADMIN_DIR, packagedPaths } from "../dpkg.ts";
import { madePathInside, pathInside } from "../inside.ts";
import { generatedKeys, removeSecrets } from "../secrets.ts";
import type { WorkTree } from "./mount.ts";

/** debconf's database, below the state of a tree or /var, and the files in it that hold the answers that are passwords. */
const DEBCONF = "cache/debconf";
const PASSWORDS = ["passwords.dat", "passwords.dat-old"];

/** Tidies an unmounted upper directory and the /var that belongs to it. What somebody should know of it, as sentences. */
export async function tidyLayer({ upper, var: varDir }: Pick<WorkTree, "upper" | "var">): Promise<string[]> {
  // There where a package has a file below /etc; an empty one changes nothing.
  const etc = dirname(await madePathInside(upper, "usr/etc/any"));
  await unstampBytecode([upper, varDir]);
  const left = await leftConfigurations(etc);
  for (const path of left) await rm(join(etc, path));
  await removeSecrets(upper, "usr/etc");
  for (const [root, path] of [
    [upper, join(STATE_DIR, DEBCONF)],
    [varDir, DEBCONF],
  ] as const) {
    // In /var it is a link to the state where the base has that already.
    const debconf = await pathInside(root, path);
    if (debconf === null || !(await isDirectory(debconf))) continue;
    for (const name of PASSWORDS) await rm(join(debconf, name), { force: true, recursive: true });
  }
  const packaged = await packagedPaths(join(upper, DPKG_ADMIN_DIR), "/");
  const nameOf = (path: string): string => (path.startsWith(`${varDir}/`) ? `/var${path.slice(varDir.length)}` : `/etc${path.slice(etc.length)}`);
  const keys = await generatedKeys([etc, varDir], (path) => packaged.has(nameOf(path)));
  return [
    ...left.map((path) => `the base's configuration file stays, and a package's version of it is left out: /etc/${path}`),
    ...keys.map((path) => `a package made a private key, and the layer holds it: ${nameOf(path)}`),
  ];
}

async function isDirectory(path: string): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
