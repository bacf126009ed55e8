/**
 * The kernel of a layer, its initramfs, and what else packages put into /boot. There the deployment has nothing: ostree copies
 * the kernel to the machine's /boot from `/usr/lib/modules/KVER/{vmlinuz,initramfs.img}`, and takes the first one that it finds,
 * so a tree has exactly one (ostree's adapting-existing).
 */
import { lstat, mkdir, readdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { STATE_DIR } from "../../model/varstate.ts";
import { DPKG_ADMIN_DIR } from "../dpkg.ts";
import { ExecError, exec, lastLines } from "../exec.ts";
import { DRACUT_CAPABILITIES, DRACUT_ENV, DRACUT_TEMPORARY, dracutCommand, requireDracut } from "../initramfs.ts";
import { madePathInside, pathInside } from "../inside.ts";
import { INSTALL_CAPABILITIES } from "../sandbox.ts";
import { removeTree } from "../tree.ts";
import { limitHint } from "./failure.ts";
import { type Assembly, runInTree, type WorkTree, workTree } from "./mount.ts";
import { askedForInitramfs, SCRIPT_PATH } from "./stubs.ts";
import { SCAN_TIMEOUT_MS } from "./upper.ts";

/** Where files that packages ship in /boot are kept, as rpm-ostree keeps them; nothing reads them there by itself. */
const BOOT_FILES_DIR = "usr/lib/ostree-boot";

/** A kernel's files: their names in /boot before "-KVER", and in its directory of modules. */
const KERNEL_FILES: ReadonlyMap<string, string> = new Map([
  ["vmlinuz", "vmlinuz"],
  ["vmlinux", "vmlinuz"],
  ["System.map", "System.map"],
  ["config", "config"],
]);

/** Made by scripts for the machine that they think they are on: links to the newest kernels, images, a boot loader's directory. */
const OF_THE_MACHINE = /^(vmlinu[xz](\.old)?|initrd\.img(-[^/]+|\.old)?|grub(\/.*)?|loader(\/.*)?)$/;
const TOP_LINKS = ["vmlinuz", "vmlinuz.old", "vmlinux", "vmlinux.old", "initrd.img", "initrd.img.old"];

/** A layer that changes these has another initramfs, asked for or not. */
const INITRAMFS_INPUTS = ["usr/lib/dracut", "usr/etc/dracut.conf", "usr/etc/dracut.conf.d"];

/** With this dkms(8) signs what it builds. Made by whichever build comes first, so no firmware knows it, and whoever has it can sign. */
const SIGNING_KEYS = ["mok.key", "mok.pub"];
const DKMS_DIR = "lib/dkms";

/** Who listens. */
export interface SettleEvents {
  readonly onInitramfs: () => void;
  readonly onMessage: (text: string) => void;
}

/** Shows the base's kernels in a private /boot, by links, so that scripts find there what they look for. */
export async function seedBoot(tree: WorkTree, baseTree: string): Promise<void> {
  for (const version of await kernelsIn(baseTree)) {
    for (const [name, target] of [
      ["vmlinuz", "vmlinuz"],
      ["System.map", "System.map"],
      ["config", "config"],
      ["initrd.img", "initramfs.img"],
    ]) {
      if (await isThere(join(baseTree, MODULES, version, `${target}`)))
        await symlink(`../${MODULES}/${version}/${target}`, join(tree.boot, `${name}-${version}`));
    }
  }
}

/**
 * Empties the private /boot of an assembly: a kernel goes to its modules and those of the base go; files of packages move aside.
 * Makes the initramfs anew, once, where its ingredients changed or a script asked for it. Throws LayerInvalid for two kernels and
 * for files in /boot that no package ships, naming them, ScriptFailed and Timeout for dracut, NoSpace, Cancelled.
 */
export async function settleBoot(assembly: Assembly, { onInitramfs, onMessage }: SettleEvents): Promise<void> {
  const tree = workTree(assembly.workspace.directory);
  for (const name of TOP_LINKS) {
    if ((await kindOf(join(tree.upper, name))) === "link") await rm(join(tree.upper, name));
  }
  await removeSigningKeys(tree);
  const version = await takeKernel(tree);
  await keepBootFiles(tree, onMessage);
  const base = await kernelsIn(assembly.baseTree);
  const replaced = version === null ? [] : base.filter((other) => other !== version);
  const kernel = version ?? base[0];
  if (replaced.length > 0) onMessage(`the kernel is ${version} now, in place of the base's ${replaced.join(", ")}`);
  if (kernel === undefined || (version === null && !(await needsInitramfs(assembly, tree, kernel)))) return;
  onInitramfs();
  await makeInitramfs(assembly, tree, kernel, replaced);
  onMessage(`made the initramfs of ${kernel} anew`);
}

const MODULES = "usr/lib/modules";

/** The versions of the kernels in a tree, as ostree finds them. Throws LayerInvalid where a directory above them is something else. */
async function kernelsIn(tree: string): Promise<string[]> {
  const versions: string[] = [];
  // It may be missing from a layer, and its parents with it.
  const there = (await pathInside(tree, join(MODULES, "any"))) !== null;
  for (const entry of there ? await readdir(join(tree, MODULES), { withFileTypes: true }) : []) {
    // A whiteout is neither.
    const kind = await kindOf(join(tree, MODULES, entry.name, "vmlinuz"));
    if (entry.isDirectory() && (kind === "file" || kind === "link")) versions.push(entry.name);
  }
  return versions.sort();
}

/** Moves the kernel from /boot to its modules, unless a package shipped it there. Its version, or null where the layer brings none. */
async function takeKernel(tree: WorkTree): Promise<string | null> {
  const found: { name: string; target: string; version: string }[] = [];
  for (const name of await readdir(tree.boot)) {
    const [, stem = "", version = ""] = /^(vmlinu[xz]|System\.map|config)-(.+)$/.exec(name) ?? [];
    const target = KERNEL_FILES.get(stem);
    if (target !== undefined && (await kindOf(join(tree.boot, name))) === "file") found.push({ name, target, version });
  }
  const inBoot = found.filter(({ target }) => target === "vmlinuz").map(({ version }) => version);
  const versions = [...new Set([...inBoot, ...(await kernelsIn(tree.upper))])].sort();
  if (versions.length > 1) {
    throw new AptOstreeError("LayerInvalid", `cannot commit the layer: it brings the kernels ${versions.join(" and ")}, and a deployment has one`, {
      details: { versions },
    });
  }
  const [version] = versions;
  if (version === undefined) return null;
  for (const { name, target } of found.filter((file) => file.version === version)) {
    const to = await madePathInside(tree.upper, join(MODULES, version, target));
    await removeTree(to);
    await rename(join(tree.boot, name), to);
  }
  return version;
}

async function removeSigningKeys(tree: WorkTree): Promise<void> {
  // In /var there is a link to the other where the base has dkms.
  for (const directory of [await pathInside(tree.var, DKMS_DIR), await pathInside(tree.upper, join(STATE_DIR, DKMS_DIR))]) {
    if (directory === null || (await kindOf(directory)) !== "directory") continue;
    for (const name of SIGNING_KEYS) await rm(join(directory, name), { force: true });
  }
}

/** Empties /boot. What packages ship moves aside, what belongs to a machine goes, and anything else is refused. */
async function keepBootFiles(tree: WorkTree, onMessage: (text: string) => void): Promise<void> {
  const { stdout } = await exec("find", [tree.boot, "-mindepth", "1", "!", "-type", "d", "-printf", "%P\\0"], { timeoutMs: SCAN_TIMEOUT_MS });
  const paths = stdout.split("\0").filter((path) => path !== "" && !OF_THE_MACHINE.test(path));
  const foreign: string[] = [];
  const moved: string[] = [];
  let shipped: Set<string> | undefined;
  for (const path of paths.sort()) {
    if (await isSeed(tree, path)) continue;
    shipped ??= await shippedInBoot(tree);
    if (shipped.has(`/boot/${path}`) && (await kindOf(join(tree.boot, path))) === "file") moved.push(path);
    else foreign.push(path);
  }
  if (foreign.length > 0) {
    const named = foreign.map((path) => `/boot/${path}`);
    throw new AptOstreeError("LayerInvalid", `cannot commit the layer: a package wrote ${named.join(", ")}, and /boot belongs to ostree`, {
      details: { paths: named },
    });
  }
  for (const path of moved) await rename(join(tree.boot, path), await madePathInside(tree.upper, join(BOOT_FILES_DIR, path)));
  if (moved.length > 0) onMessage(`in /${BOOT_FILES_DIR} instead of /boot, which belongs to ostree: ${moved.join(", ")}`);
  await removeTree(tree.boot);
  await mkdir(tree.boot, { mode: 0o755 });
}

/** A link to the base's kernel that was there before. */
async function isSeed(tree: WorkTree, path: string): Promise<boolean> {
  return (await kindOf(join(tree.boot, path))) === "link" && (await readlink(join(tree.boot, path))).startsWith(`../${MODULES}/`);
}

/** The paths in /boot that some package of the tree ships (dpkg-query(1), `--search`). */
async function shippedInBoot(tree: WorkTree): Promise<Set<string>> {
  const adminDir = join(tree.upper, DPKG_ADMIN_DIR);
  const { stdout } = await exec("dpkg-query", [`--admindir=${adminDir}`, "--search", "/boot/*"], { okStatuses: [0, 1], timeoutMs: SCAN_TIMEOUT_MS });
  return new Set(stdout.split("\n").map((line) => line.slice(line.indexOf(": ") + 2)));
}

async function needsInitramfs(assembly: Assembly, tree: WorkTree, kernel: string): Promise<boolean> {
  for (const path of [...INITRAMFS_INPUTS, join(MODULES, kernel)]) {
    const inside = await pathInside(tree.upper, path);
    if (inside !== null && (await kindOf(inside)) !== "nothing") return true;
  }
  return await askedForInitramfs(assembly.workspace.directory);
}

/** Removes the other kernels, then depmod(8) and dracut(8), all in the tree and with no network. */
async function makeInitramfs(assembly: Assembly, tree: WorkTree, kernel: string, replaced: readonly string[]): Promise<void> {
  await requireDracut(async (path) => (await isThere(join(tree.upper, path))) || (await isThere(join(assembly.baseTree, path))));
  try {
    await runInTree(assembly, {
      network: false,
      capabilities: [...INSTALL_CAPABILITIES, ...DRACUT_CAPABILITIES],
      env: { PATH: SCRIPT_PATH, ...DRACUT_ENV },
      binds: ["--tmpfs", "/var", ...DRACUT_TEMPORARY],
      command: [
        "sh",
        "-c",
        KERNEL_SCRIPT,
        "kernel",
        kernel,
        replaced.map((version) => `/${MODULES}/${version}`).join("\n"),
        ...dracutCommand(kernel),
      ],
    });
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    const full = /No space left on device/.test(error.stderr);
    const { limits, exceeded } = assembly.confinement;
    const said = [...(await exceeded()).map((limit) => limitHint(limit, limits)), lastLines(error.stderr || error.stdout, 3)].join(": ");
    throw new AptOstreeError(full ? "NoSpace" : "ScriptFailed", `cannot make the initramfs of ${kernel}: ${said}`, { cause: error });
  }
  // dracut is content with a kernel that it thinks cannot use one.
  const image = await pathInside(tree.upper, join(MODULES, kernel, "initramfs.img"));
  if (image === null || (await kindOf(image)) !== "file")
    throw new AptOstreeError(
      "LayerInvalid",
      `cannot make the initramfs of ${kernel}: dracut made none, as for a kernel without CONFIG_BLK_DEV_INITRD`,
    );
}

/** With the kernel's version, the directories to remove, and dracut's command. */
const KERNEL_SCRIPT = 'set -e; echo "$2" | while read -r gone; do [ -z "$gone" ] || rm -rf -- "$gone"; done; depmod -- "$1"; shift 2; exec "$@"';

async function isThere(path: string): Promise<boolean> {
  return (await kindOf(path)) !== "nothing";
}

async function kindOf(path: string): Promise<"file" | "directory" | "link" | "other" | "nothing"> {
  const stats = await lstat(path).catch(() => null);
  if (stats === null) return "nothing";
  return stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "link" : "other";
}
