/** The shape that ostree deploys and boots (ostree's "adapting-existing"): what is at the top, what may not be there, the kernel. */
import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";
import { exists, kindOf, namesIn } from "../files.ts";
import { type Finding, finder } from "./finding.ts";

/** Where a link at the top must lead. */
const LINKS: Readonly<Record<string, string>> = {
  bin: "usr/bin",
  home: "var/home",
  lib: "usr/lib",
  media: "run/media",
  mnt: "var/mnt",
  opt: "var/opt",
  ostree: "sysroot/ostree",
  root: "var/roothome",
  sbin: "usr/sbin",
  srv: "var/srv",
};
/** Only on some architectures. */
const LIBRARY_LINKS = /^lib(32|64|x32|o32)$/;
const EMPTY = ["boot", "dev", "proc", "run", "sys", "sysroot", "tmp", "var"];

/** What may not be in a tree, and why. */
const FORBIDDEN: readonly (readonly [path: string, why: string])[] = [
  ["etc", "/etc of a tree is /usr/etc"],
  ["usr/etc/hostname", "it names one machine"],
  ["usr/etc/resolv.conf", "it is of one network"],
  ["usr/etc/.updated", "it would keep systemd from updating /etc"],
  ["usr/etc/passwd-", "it is a backup"],
  ["usr/etc/shadow-", "it is a backup"],
  ["usr/sbin/policy-rc.d", "it would keep services from being started"],
];

const wrongTop = finder("error", "top", "a tree has only the directories and links of OSTree at its top; move the content below /usr");
const notEmpty = finder("error", "empty", "put it below /usr, or let tmpfiles.d(5) make it at boot");

/** Only links and mount points beside /usr, and nothing in what is mounted over or made anew by each boot. */
export async function checkTop(tree: string): Promise<Finding[]> {
  const problems: Finding[] = [];
  for (const name of await namesIn(tree, ".")) {
    const expected = LINKS[name] ?? (LIBRARY_LINKS.test(name) ? `usr/${name}` : null);
    const path = `/${name}`;
    if (expected !== null) {
      const isLink = (await kindOf(tree, name)) === "link";
      if (!isLink || (await readlink(join(tree, name))) !== expected) problems.push(wrongTop(path, `it is not a link to ${expected}`));
    } else if (EMPTY.includes(name)) {
      const inside = await namesIn(tree, name);
      if (inside[0] !== undefined) problems.push(notEmpty(`${path}/${inside[0]}`, `${path} of a tree must be empty`));
    } else if (name !== "usr" && name !== "etc") {
      problems.push(wrongTop(path, "nothing else may be at the top"));
    }
  }
  for (const name of ["usr", ...EMPTY, ...Object.keys(LINKS)]) {
    if (!(await exists(tree, name))) problems.push(wrongTop(`/${name}`, "it is missing"));
  }
  const local = (await kindOf(tree, "usr/local")) === "link" ? await readlink(join(tree, "usr/local")) : "";
  if (local !== "../var/usrlocal") problems.push(wrongTop("/usr/local", "it is not a link to ../var/usrlocal"));
  return problems;
}

const forbidden = finder("error", "forbidden", "remove it from the tree before it is committed");

/** What belongs to a running system, to one network, or to the build. */
export async function checkForbidden(tree: string): Promise<Finding[]> {
  const problems: Finding[] = [];
  for (const [path, why] of FORBIDDEN) if (await exists(tree, path)) problems.push(forbidden(`/${path}`, why));
  return problems;
}

const wrongKernel = finder("error", "kernel", "install just one linux-image package, and dracut and ostree-boot for its initramfs");

/** One kernel with an initramfs, where ostree looks for them. */
export async function checkKernel(tree: string): Promise<Finding[]> {
  const modules = "usr/lib/modules";
  const versions: string[] = [];
  for (const version of await namesIn(tree, modules)) if (await exists(tree, `${modules}/${version}/vmlinuz`)) versions.push(version);
  const [version] = versions;
  if (versions.length !== 1 || version === undefined)
    return [wrongKernel(`/${modules}`, `there must be one kernel, and there are ${versions.length}`)];
  const initramfs = `${modules}/${version}/initramfs.img`;
  const size = await lstat(join(tree, initramfs)).then(
    (stats) => stats.size,
    () => 0,
  );
  return size > 0 ? [] : [wrongKernel(`/${initramfs}`, "it is missing or empty")];
}
