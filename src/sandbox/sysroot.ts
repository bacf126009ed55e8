/** The sysroot of a sandbox: made from a base repository as an installer would, read as a boot loader would. */
import { mkdir, readdir, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { exec } from "../engines/exec.ts";
import { AptOstreeError } from "../model/errors.ts";
import { STATEROOT } from "./layout.ts";

/** What a new sysroot is made of. */
export interface SysrootOptions {
  /** A bare repository with the base. */
  readonly repo: string;
  readonly ref: string;
  /** Kernel arguments; the sandbox never boots a kernel, but the boot entries are the real ones. */
  readonly kargs?: readonly string[];
  /** What to keep of the older sysroot's `var`: relative paths of caches; absent ones are skipped. */
  readonly keepVar?: readonly string[];
}

const VAR = `ostree/deploy/${STATEROOT}/var`;
const DEFAULT_KARGS = ["root=LABEL=root", "rw"];

/**
 * Creates a sysroot with one deployment (ostree-admin-init-fs(1), -os-init(1), -deploy(1)). It appears under its name only when it is
 * complete, so a killed creation leaves nothing that looks like a sysroot.
 */
export async function createSysroot(path: string, options: SysrootOptions): Promise<void> {
  const fresh = `${path}.new`;
  await removeTree(fresh);
  await mkdir(fresh, { recursive: true });
  const repo = join(fresh, "ostree/repo");
  await exec("ostree", ["admin", "init-fs", "--modern", fresh]);
  await exec("ostree", ["admin", "os-init", `--sysroot=${fresh}`, STATEROOT]);
  // Without a boot loader to configure, ostree writes the boot entries and stops there.
  await exec("ostree", [`--repo=${repo}`, "config", "set", "sysroot.bootloader", "none"]);
  await exec("ostree", [`--repo=${repo}`, "pull-local", options.repo, options.ref]);
  const kargs = (options.kargs ?? DEFAULT_KARGS).map((karg) => `--karg=${karg}`);
  await exec("ostree", ["admin", "deploy", `--sysroot=${fresh}`, `--os=${STATEROOT}`, ...kargs, options.ref]);
  await keepPaths(join(path, VAR), join(fresh, VAR), options.keepVar ?? []);
  await removeTree(path);
  await rename(fresh, path);
}

/** Whether a sysroot is there. */
export async function hasSysroot(path: string): Promise<boolean> {
  return await stat(join(path, "ostree/repo/config")).then(
    () => true,
    () => false,
  );
}

/**
 * The deployment that a boot loader would start: the boot entry with the highest version (the Boot Loader Specification's order as
 * ostree writes it), its `ostree=` argument followed as ostree-prepare-root(1) does. Throws NotFound.
 */
export async function defaultDeployment(sysroot: string): Promise<string> {
  const entries = join(sysroot, "boot/loader/entries");
  let best: { version: number; target: string } | null = null;
  for (const name of await readdir(entries).catch(() => [])) {
    const text = await readFile(join(entries, name), "utf8");
    const version = Number(/^version (\d+)$/m.exec(text)?.[1] ?? 0);
    const target = /^options .*\bostree=(\S+)/m.exec(text)?.[1];
    if (target !== undefined && (best === null || version > best.version)) best = { version, target };
  }
  if (best === null) throw new AptOstreeError("NotFound", `cannot boot ${sysroot}: it has no boot entry`);
  return await realpath(join(sysroot, best.target));
}

/** Removes a tree that may hold deployments, whose directories are immutable (chattr(1)). */
export async function removeTree(path: string): Promise<void> {
  for (const stateroot of await readdir(join(path, "ostree/deploy")).catch(() => [])) {
    const deploy = join(path, "ostree/deploy", stateroot, "deploy");
    for (const name of await readdir(deploy).catch(() => [])) {
      if (!name.endsWith(".origin")) await exec("chattr", ["-i", join(deploy, name)]);
    }
  }
  await rm(path, { recursive: true, force: true });
}

/** Moves paths from one `var` to another on the same file system. */
async function keepPaths(fromVar: string, toVar: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const source = join(fromVar, path);
    if ((await stat(source).catch(() => null)) === null) continue;
    const target = join(toVar, path);
    await mkdir(dirname(target), { recursive: true });
    await rename(source, target);
  }
}
