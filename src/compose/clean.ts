/** Taking out of a tree what belongs to one machine, to one moment, or to the build. */
import { chown } from "node:fs/promises";
import { join } from "node:path";
import { unstampBytecode } from "../engines/bytecode.ts";
import { leftConfigurations } from "../engines/conffiles.ts";
import { exec } from "../engines/exec.ts";
import { removeSecrets } from "../engines/secrets.ts";
import { readAccounts } from "./accounts.ts";
import { emptyDirectory, kindOf, removeFromTree, writeTreeFile } from "./files.ts";

const RESIDUE: readonly string[] = [
  "etc/.pwd.lock",
  "etc/.updated",
  "etc/adjtime",
  "etc/hostname",
  "etc/resolv.conf",
  ...["passwd", "group", "shadow", "gshadow", "subuid", "subgid"].map((name) => `etc/${name}-`),
  "usr/sbin/policy-rc.d",
  ...["lock", "lock-frontend", "triggers/Lock", "status-old", "diversions-old", "statoverride-old", "available-old"].map(
    (name) => `var/lib/dpkg/${name}`,
  ),
  // Answers of type password; debconf(7) keeps them apart from the others.
  "var/cache/debconf/passwords.dat",
  ...["config.dat-old", "templates.dat-old", "passwords.dat-old"].map((name) => `var/cache/debconf/${name}`),
  "var/lib/sgml-base/supercatalog.old",
];

/** Cleans a tree that still has the shape of a plain Debian. Where it finds secrets made by packages, a boot makes new ones. */
export async function clean(tree: string): Promise<void> {
  await removeSecrets(tree, "etc");
  const left = (await leftConfigurations(join(tree, "etc"))).map((path) => `etc/${path}`);
  await removeFromTree(tree, [...RESIDUE, ...left]);
  await emptyDirectory(tree, "etc/ssl/private");
  // Empty, and not absent: systemd then puts one in place without taking the boot for the first of all.
  await writeTreeFile(tree, "etc/machine-id", "", 0o444);
  for (const path of ["boot", "dev", "media", "proc", "run", "sys", "tmp"]) await emptyDirectory(tree, path);
  await ownPartialDirectories(tree);
  await unstampBytecode([join(tree, "usr"), join(tree, "var"), join(tree, "opt")]);
  // A directory that its owner cannot write cannot be removed by a later garbage collection that is not root's.
  await exec("find", [join(tree, "usr"), join(tree, "etc"), "-type", "d", "!", "-perm", "-u+w", "-exec", "chmod", "u+w", "{}", "+"]);
}

/** apt gives these to its own user the first time it uses them, and whether it did so in the build depends on where that was. */
async function ownPartialDirectories(tree: string): Promise<void> {
  const [uid] = [...(await readAccounts(tree)).users].find(([, name]) => name === "_apt") ?? [];
  if (uid === undefined) return;
  for (const path of ["var/cache/apt/archives/partial", "var/lib/apt/lists/partial"]) {
    if ((await kindOf(tree, path)) === "directory") await chown(join(tree, path), Number(uid), 0);
  }
}
