/** The packages of a tree that a plan would make. */
import type { InstalledPackage } from "../../model/plan.ts";
import type { Solution } from "../apt/solve.ts";

/** The package that an archive's name says it is (apt's archives directory: "NAME_VERSION_ARCH.deb", with ":" as "%3a"). */
export function packageOfArchive(fileName: string): InstalledPackage {
  const [name = "", version = "", architecture = ""] = fileName.replace(/\.deb$/, "").split("_");
  return { name, version: version.replaceAll("%3a", ":"), architecture };
}

/** What dpkg will have in the tree: the base without what is removed, and with what is installed. */
export function plannedPackages(base: readonly InstalledPackage[], { archives, localFiles, removals }: Solution): InstalledPackage[] {
  const coming = [...archives.map(({ fileName }) => fileName), ...localFiles].map(packageOfArchive);
  const isGone = (p: InstalledPackage): boolean => removals.includes(p.name) || removals.includes(`${p.name}:${p.architecture}`);
  const isReplaced = (p: InstalledPackage): boolean => coming.some((one) => one.name === p.name && sameSlot(one, p));
  return [...base.filter((p) => !isGone(p) && !isReplaced(p)), ...coming];
}

/** Of two packages of one name only such of different architectures stand side by side, and never beside one for all of them. */
function sameSlot(a: InstalledPackage, b: InstalledPackage): boolean {
  return a.architecture === b.architecture || a.architecture === "all" || b.architecture === "all";
}
