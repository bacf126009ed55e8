/** Making an initramfs with the tree's own dracut(8): the same call for a base and for a layer, so that both boot alike. */
import { AptOstreeError } from "../model/errors.ts";

/** What dracut needs beyond what maintainer scripts may do: it puts device nodes into the image. */
export const DRACUT_CAPABILITIES = ["CAP_MKNOD"] as const;

/** dracut's environment. Extended attributes of a build directory are no part of an image. */
export const DRACUT_ENV = { DRACUT_NO_XATTR: "1" } as const;

/** Where dracut has its temporary directory; no part of the tree. */
export const DRACUT_TEMPORARY = ["--perms", "1777", "--tmpfs", "/var/tmp"] as const;

/** The command that makes the initramfs of a kernel, for any machine, reproducibly, with the switch to the deployment. To be run in the tree. */
export function dracutCommand(version: string): string[] {
  return ["dracut", "--force", "--no-hostonly", "--reproducible", "--add", "ostree", "--kver", version, `/usr/lib/modules/${version}/initramfs.img`];
}

/** Throws LayerInvalid where the tree lacks what makes an initramfs that finds its deployment; `has` answers for a path relative to the tree. */
export async function requireDracut(has: (path: string) => Promise<boolean>): Promise<void> {
  for (const [path, program, packageName] of NEEDED) {
    if (!(await has(path)))
      throw new AptOstreeError("LayerInvalid", `cannot make an initramfs: the tree has no ${program}; add ${packageName} to its base`, {
        details: { packages: [packageName] },
      });
  }
}

const NEEDED = [
  ["usr/bin/dracut", "dracut", "dracut"],
  ["usr/lib/ostree/ostree-prepare-root", "ostree-prepare-root", "ostree-boot"],
] as const;
