/** Taking out of a tree what belongs to one machine, to one moment, or to the build. */
import { chown, open } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../engines/exec.ts";
import { readAccounts } from "./accounts.ts";
import { emptyDirectory, kindOf, namesIn, removeFromTree, writeTreeFile } from "./files.ts";

const RESIDUE: readonly string[] = [
  "etc/.pwd.lock",
  "etc/.updated",
  "etc/adjtime",
  "etc/hostname",
  "etc/resolv.conf",
  ...["passwd", "group", "shadow", "gshadow", "subuid", "subgid"].map((name) => `etc/${name}-`),
  "etc/ssl/certs/ssl-cert-snakeoil.pem",
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
  const hostKeys = (await namesIn(tree, "etc/ssh")).filter((name) => name.startsWith("ssh_host_")).map((name) => `etc/ssh/${name}`);
  await removeFromTree(tree, [...RESIDUE, ...hostKeys, ...(await leftConfigurations(tree))]);
  await emptyDirectory(tree, "etc/ssl/private");
  // Empty, and not absent: systemd then puts one in place without taking the boot for the first of all.
  await writeTreeFile(tree, "etc/machine-id", "", 0o444);
  for (const path of ["boot", "dev", "media", "proc", "run", "sys", "tmp"]) await emptyDirectory(tree, path);
  await ownPartialDirectories(tree);
  await unstampBytecode(tree);
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

/** Configuration files that dpkg and ucf left beside the ones in use. */
async function leftConfigurations(tree: string): Promise<string[]> {
  const patterns = ["*.dpkg-dist", "*.dpkg-old", "*.dpkg-new", "*.dpkg-tmp", "*.ucf-dist", "*.ucf-old", "*.ucf-new"];
  const tests = patterns.flatMap((pattern, index) => [...(index === 0 ? [] : ["-o"]), "-name", pattern]);
  const { stdout } = await exec("find", [join(tree, "etc"), "(", ...tests, ")", "-printf", "etc/%P\\0"]);
  return stdout.split("\0").filter((path) => path !== "");
}

const PYC_HEADER_BYTES = 16;

/**
 * Python compares the source's time with the one in the header of its bytecode (PEP 552), and in a checkout all times are 0:
 * zero there, too, or every module would be compiled at every start.
 */
async function unstampBytecode(tree: string): Promise<void> {
  const { stdout } = await exec("find", [join(tree, "usr"), "-type", "f", "-name", "*.pyc", "-print0"]);
  for (const path of stdout.split("\0").filter((name) => name !== "")) {
    const file = await open(path, "r+");
    try {
      const header = Buffer.alloc(PYC_HEADER_BYTES);
      const { bytesRead } = await file.read(header, 0, PYC_HEADER_BYTES, 0);
      if (bytesRead === PYC_HEADER_BYTES && header.readUInt32LE(4) === 0) await file.write(Buffer.alloc(4), 0, 4, 8);
    } finally {
      await file.close();
    }
  }
}
