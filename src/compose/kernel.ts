/** The kernel and its initramfs where ostree looks for them: `/usr/lib/modules/KVER/{vmlinuz,initramfs.img}` (ostree's adapting-existing). */
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { ExecError, lastLines } from "../engines/exec.ts";
import { DRACUT_CAPABILITIES, DRACUT_ENV, DRACUT_TEMPORARY, dracutCommand, requireDracut } from "../engines/initramfs.ts";
import { AptOstreeError } from "../model/errors.ts";
import { type ChrootOptions, inTree } from "./chroot.ts";
import { exists, linkInTree, makeDirectory, namesIn, removeFromTree, writeTreeFile } from "./files.ts";

const DRACUT_CONFIG = "usr/lib/dracut/dracut.conf.d/10-apt-ostree.conf";

/** Also read by every later dracut run in the tree, such as that of a layered kernel module. */
const DRACUT_SETTINGS = [
  "# For any machine and not the one that builds; the same bytes each time; with the switch to the deployment.",
  'hostonly="no"',
  'reproducible="yes"',
  'add_dracutmodules+=" ostree "',
];

/** Moves the one kernel of a tree from /boot to its modules. Its version. Throws LayerInvalid where there is none, or more than one. */
export async function moveKernel(tree: string): Promise<string> {
  const versions = await kernelVersions(tree);
  const [version, ...more] = versions;
  if (version === undefined) throw new AptOstreeError("LayerInvalid", "cannot make a bootable tree: it has no kernel; add linux-image-… to packages");
  if (more.length > 0)
    throw new AptOstreeError("LayerInvalid", `cannot make a bootable tree: it has more than one kernel: ${versions.join(", ")}`, {
      details: { versions },
    });
  const modules = `usr/lib/modules/${version}`;
  await makeDirectory(tree, modules);
  for (const [name, target] of [
    [`vmlinuz-${version}`, "vmlinuz"],
    [`System.map-${version}`, "System.map"],
    [`config-${version}`, "config"],
  ]) {
    if (await exists(tree, `boot/${name}`)) await rename(join(tree, `boot/${name}`), join(tree, modules, `${target}`));
  }
  await removeFromTree(tree, ["vmlinuz", "vmlinuz.old", "initrd.img", "initrd.img.old"]);
  return version;
}

/** The versions for which there is a kernel image, in /boot or with the modules. */
async function kernelVersions(tree: string): Promise<string[]> {
  const versions = (await namesIn(tree, "boot")).filter((name) => name.startsWith("vmlinuz-")).map((name) => name.slice("vmlinuz-".length));
  for (const version of await namesIn(tree, "usr/lib/modules")) {
    if (await exists(tree, `usr/lib/modules/${version}/vmlinuz`)) versions.push(version);
  }
  return [...new Set(versions)].sort();
}

/** Makes the initramfs with dracut(8). Throws LayerInvalid where the tree has no dracut, ScriptFailed where it fails. */
export async function makeInitramfs(tree: string, version: string, options: ChrootOptions): Promise<void> {
  await requireDracut((path) => exists(tree, path));
  await writeTreeFile(tree, "usr/lib/ostree/prepare-root.conf", "[sysroot]\nreadonly=true\n");
  // The default level of zstd takes twice as long for 6 % less.
  const compress = (await exists(tree, "usr/bin/zstd")) ? ['compress="zstd -T0 -3"'] : [];
  await writeTreeFile(tree, DRACUT_CONFIG, `${[...DRACUT_SETTINGS, ...compress].join("\n")}\n`);
  try {
    const binds = [...DRACUT_TEMPORARY, ...(options.binds ?? [])];
    await inTree(tree, dracutCommand(version), { ...options, binds, env: DRACUT_ENV, capabilities: DRACUT_CAPABILITIES });
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    throw new AptOstreeError("ScriptFailed", `cannot make the initramfs: ${lastLines(error.stderr || error.stdout, 3)}`, { cause: error });
  }
}

/** Gives the tree its mount point for the sysroot and the link to the repository. */
export async function makeSysrootLinks(tree: string): Promise<void> {
  await makeDirectory(tree, "sysroot");
  await linkInTree(tree, "ostree", "sysroot/ostree");
}
