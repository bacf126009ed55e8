/** The last look at a tree before it is committed: what would not deploy, not boot, or not be the same on two machines is refused by name. */
import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";
import { audit, DPKG_ADMIN_DIR, listPackageStates } from "../engines/dpkg.ts";
import { exec } from "../engines/exec.ts";
import { AptOstreeError } from "../model/errors.ts";
import { exists, kindOf, namesIn, readTreeFile } from "./files.ts";

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

/** One thing that is wrong with a tree. */
export interface Problem {
  readonly path: string;
  readonly why: string;
}

/** Everything that is wrong with a tree in OSTree shape; empty where it is fine. */
export async function lint(tree: string): Promise<Problem[]> {
  return [
    ...(await lintTop(tree)),
    ...(await lintForbidden(tree)),
    ...(await lintKernel(tree)),
    ...(await lintEntries(tree)),
    ...(await lintPackages(tree)),
  ];
}

/** Throws LayerInvalid naming every path that is wrong. */
export async function requireClean(tree: string): Promise<void> {
  const problems = await lint(tree);
  if (problems.length === 0) return;
  const shown = problems.slice(0, 10).map(({ path, why }) => `${path}: ${why}`);
  const more = problems.length > shown.length ? `; and ${problems.length - shown.length} more` : "";
  throw new AptOstreeError("LayerInvalid", `cannot commit the tree: ${shown.join("; ")}${more}`, { details: { problems } });
}

async function lintTop(tree: string): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const name of await namesIn(tree, ".")) {
    const expected = LINKS[name] ?? (LIBRARY_LINKS.test(name) ? `usr/${name}` : null);
    const path = `/${name}`;
    if (expected !== null) {
      const isLink = (await kindOf(tree, name)) === "link";
      if (!isLink || (await readlink(join(tree, name))) !== expected) problems.push({ path, why: `it is not a link to ${expected}` });
    } else if (EMPTY.includes(name)) {
      const inside = await namesIn(tree, name);
      if (inside[0] !== undefined) problems.push({ path: `${path}/${inside[0]}`, why: `${path} of a tree must be empty` });
    } else if (name !== "usr" && name !== "etc") {
      problems.push({ path, why: "nothing else may be at the top" });
    }
  }
  for (const name of ["usr", ...EMPTY, ...Object.keys(LINKS)]) {
    if (!(await exists(tree, name))) problems.push({ path: `/${name}`, why: "it is missing" });
  }
  const local = (await kindOf(tree, "usr/local")) === "link" ? await readlink(join(tree, "usr/local")) : "";
  if (local !== "../var/usrlocal") problems.push({ path: "/usr/local", why: "it is not a link to ../var/usrlocal" });
  return problems;
}

async function lintForbidden(tree: string): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const [path, why] of FORBIDDEN) if (await exists(tree, path)) problems.push({ path: `/${path}`, why });
  for (const name of await namesIn(tree, "usr/etc/ssh")) {
    if (name.startsWith("ssh_host_")) problems.push({ path: `/usr/etc/ssh/${name}`, why: "it is a key of one machine" });
  }
  for (const name of await namesIn(tree, "usr/etc/ssl/private"))
    problems.push({ path: `/usr/etc/ssl/private/${name}`, why: "it may be a private key" });
  if ((await kindOf(tree, "usr/etc/machine-id")) !== "file" || (await readTreeFile(tree, "usr/etc/machine-id")) !== "")
    problems.push({ path: "/usr/etc/machine-id", why: "it is not an empty file" });
  return problems;
}

async function lintKernel(tree: string): Promise<Problem[]> {
  const modules = "usr/lib/modules";
  const versions: string[] = [];
  for (const version of await namesIn(tree, modules)) if (await exists(tree, `${modules}/${version}/vmlinuz`)) versions.push(version);
  const [version] = versions;
  if (versions.length !== 1 || version === undefined)
    return [{ path: `/${modules}`, why: `there must be one kernel, and there are ${versions.length}` }];
  const initramfs = `${modules}/${version}/initramfs.img`;
  const size = await lstat(join(tree, initramfs)).then(
    (stats) => stats.size,
    () => 0,
  );
  return size > 0 ? [] : [{ path: `/${initramfs}`, why: "it is missing or empty" }];
}

/** Over all entries: what ostree cannot store, names that are not UTF-8, directories that their owner cannot write. */
async function lintEntries(tree: string): Promise<Problem[]> {
  const tests = ["(", "-type", "b", "-o", "-type", "c", "-o", "-type", "p", "-o", "-type", "s", ")", "-printf", "s/%P\\0"];
  const locked = ["-type", "d", "!", "-perm", "-u+w", "-printf", "w/%P\\0"];
  const { stdout } = await exec("find", [tree, "-xdev", ...tests, "-o", ...locked, "-o", "-printf", "n/%P\\0"]);
  const problems: Problem[] = [];
  for (const record of stdout.split("\0")) {
    const path = record.slice(1);
    if (record.startsWith("s")) problems.push({ path, why: "it is neither file, directory nor link" });
    else if (record.startsWith("w")) problems.push({ path, why: "its owner cannot write it, so it could not be removed" });
    if (path.includes("\ufffd")) problems.push({ path, why: "its name is not UTF-8" });
  }
  return problems;
}

async function lintPackages(tree: string): Promise<Problem[]> {
  const path = `/${DPKG_ADMIN_DIR}`;
  if (!(await exists(tree, `${DPKG_ADMIN_DIR}/status`))) return [{ path: `${path}/status`, why: "it is missing" }];
  const unfinished = (await listPackageStates(join(tree, DPKG_ADMIN_DIR))).filter((state) => !/^[ih]i $|^[rpu][nc] $/.test(state.abbrev));
  if (unfinished.length > 0)
    return [{ path, why: `not installed as they should be: ${unfinished.map((state) => `${state.name} (${state.abbrev.trim()})`).join(", ")}` }];
  const said = (await audit(join(tree, DPKG_ADMIN_DIR))).trim();
  return said === "" ? [] : [{ path, why: said.split("\n")[0] ?? said }];
}
