/** What apt's own configuration says where the running system's `/etc/apt` counts (apt-config(8), apt.conf(5)). */
import { exec } from "../exec.ts";
import type { AptConfig } from "./config.ts";
import { type ReadRoot, readRootArgs } from "./readroot.ts";

/** Every option that has a value, in apt's order. */
export async function readSettings(root: ReadRoot): Promise<AptConfig> {
  const { stdout } = await exec("bwrap", readRootArgs(root, ["apt-config", "dump", "--format", "%f %v%n"]));
  const lines = stdout.split("\n").map((line) => /^(\S+) (.+)$/.exec(line));
  return lines.flatMap((match) => (match?.[1] === undefined || match[2] === undefined ? [] : [[match[1], match[2]] as const]));
}

/** Options that decide which packages a request brings. */
const DECISIVE =
  /^APT::(Install-(Recommends|Suggests)|Default-Release|Solver|Strict-Pinning|Get::(Upgrade-Allow-New|AutomaticRemove)|Cache-Start|Architectures::)$/i;

/**
 * The decisive options as the planning root has them. Installing goes by the tree's own apt.conf.d, and must come to what was
 * planned by the running system's.
 */
export async function decisiveSettings(root: ReadRoot): Promise<AptConfig> {
  return (await readSettings(root)).filter(([option]) => DECISIVE.test(option));
}
