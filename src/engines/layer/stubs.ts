/**
 * Programs that mean the running machine and not the tree: while a tree is assembled, scripts find others in their place. They
 * lie outside of the tree, in front in the PATH, so that packages can bring, replace and remove the real ones meanwhile.
 */
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readInside } from "../inside.ts";
import type { WorkTree } from "./mount.ts";

/** The path that scripts look for programs along. */
export const SCRIPT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

/** Where scripts find the stand-ins. */
export const STUBS_INSIDE = "/run/apt-ostree/stubs";
const CALLS_INSIDE = "/run/apt-ostree/calls";
const CALLS = "calls";

/** Whoever calls one of these wants a new initramfs: made once, when all packages are configured. */
const INITRAMFS_PROGRAMS = ["dracut", "mkinitramfs", "update-initramfs"];

/** Boot loaders and boot entries belong to the machine, and to ostree. */
const BOOT_PROGRAMS = [
  ...["bootctl", "efibootmgr", "extlinux-install", "extlinux-update", "flash-kernel", "grub-install", "grub-mkconfig", "installkernel"],
  ...["kernel-install", "lilo", "u-boot-update", "update-grub", "update-grub2", "zipl"],
];

/** No service runs in a tree. (invoke-rc.d and deb-systemd-invoke ask the policy; systemctl knows by SYSTEMD_OFFLINE.) */
const SERVICE_PROGRAMS = ["start-stop-daemon"];

const STUB = `#!/bin/sh
echo "\${0##*/} $*" >>${CALLS_INSIDE} 2>/dev/null
echo "\${0##*/}: nothing is done about the running system while a tree is assembled" >&2
`;

/** uname(1) with the release of the kernel of the tree, not of the one that runs: the one that was just installed, else the base's. */
const UNAME = `#!/bin/sh
kernel=
for image in /boot/vmlinuz-*; do
  [ -e "$image" ] || continue
  if [ -z "$kernel" ] || ! [ -L "$image" ]; then kernel=\${image#/boot/vmlinuz-}; fi
done
case "$*" in
  -r | --kernel-release) [ -z "$kernel" ] || { echo "$kernel"; exit 0; } ;;
esac
PATH=\${PATH#${STUBS_INSIDE}:} exec uname "$@"
`;

/** The policy of invoke-rc.d(8): no action is allowed. */
const POLICY = "#!/bin/sh\nexit 101\n";
const POLICY_PATH = "usr/sbin/policy-rc.d";
const RESOLVER_PATH = "usr/etc/resolv.conf";

/** Files that scripts find in the tree where the base has none, and that are in the layer only where a package made them its own. */
export const GIVEN_PATHS: readonly string[] = [POLICY_PATH, RESOLVER_PATH];

/** Writes the stand-ins for a tree, and the policy that no service is started where it is looked for. */
export async function writeStubs(tree: WorkTree): Promise<void> {
  const executable = { mode: 0o755 };
  await writeFile(join(tree.stubs, "stub"), STUB, executable);
  await writeFile(join(tree.stubs, "uname"), UNAME, executable);
  for (const name of [...INITRAMFS_PROGRAMS, ...BOOT_PROGRAMS, ...SERVICE_PROGRAMS]) await symlink("stub", join(tree.stubs, name));
  await writeFile(callsFile(tree), "");
  await mkdir(join(tree.below, "usr/sbin"), { recursive: true, mode: 0o755 });
  await writeFile(join(tree.below, POLICY_PATH), POLICY, executable);
}

/** Lets scripts that have the network resolve names as this system does (resolv.conf(5)), where the tree says nothing of it. */
export async function lendResolver(tree: WorkTree): Promise<void> {
  const text = await readFile("/etc/resolv.conf", "utf8").catch(() => "");
  await mkdir(join(tree.below, "usr/etc"), { recursive: true, mode: 0o755 });
  await writeFile(join(tree.below, RESOLVER_PATH), text, { mode: 0o644 });
}

/** bwrap's arguments for them; `inside` is the tree as seen from where bwrap runs. */
export function stubBinds(inside: WorkTree): string[] {
  return ["--ro-bind", inside.stubs, STUBS_INSIDE, "--bind", callsFile(inside), CALLS_INSIDE];
}

/** Whether some script called for a new initramfs. `directory`: the work directory. */
export async function askedForInitramfs(directory: string): Promise<boolean> {
  const calls = await readInside(directory, CALLS);
  // Unreadable means so many calls that one of them will have been such.
  return calls === null || calls.split("\n").some((line) => INITRAMFS_PROGRAMS.includes(line.split(" ")[0] ?? ""));
}

function callsFile(tree: WorkTree): string {
  return join(tree.stubs, "..", CALLS);
}
