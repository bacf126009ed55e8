/** A tree's state in apt-get's words (apt-get(8)): the verb, the packages behind it, and what apt may change of the base. */
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { packageName } from "../../model/names.ts";
import type { Archive } from "../../model/plan.ts";
import { hashOfLocal, type TreeState } from "../../model/tree.ts";
import { type AptConfig, INSIDE } from "./config.ts";
import type { InstallSummary } from "./output.ts";

/** What apt-get is told to do. */
export interface AptWords {
  readonly verb: "install" | "dist-upgrade";
  /** Options that this takes beside those of the purpose. */
  readonly config: AptConfig;
  /** Package specs, paths of local packages inside the sandbox, and names with "-" that are to be removed. */
  readonly words: readonly string[];
}

/** A person named the version, so an older one is meant, and a hold is lifted for it. */
const AS_NAMED: AptConfig = [
  ["APT::Get::allow-downgrades", "true"],
  ["APT::Get::allow-change-held-packages", "true"],
];
/** apt knows where a local package is only once it has "downloaded" it; there is no network that it could use for others. */
const FROM_FILES: AptConfig = [["APT::Get::Download", "true"]];

/** The file of a kept local package. */
export function localFileName(local: string): string {
  return `${hashOfLocal(local)}.deb`;
}

/** The words for a tree, without those that are inactive on its base. */
export function wordsFor(tree: TreeState, inactive: readonly string[]): AptWords {
  const active = (specs: readonly string[]): string[] => specs.filter((spec) => !inactive.includes(spec));
  const paths = (locals: readonly string[]): string[] => active(locals).map((local) => join(INSIDE.locals, localFileName(local)));
  const replaces = active([...tree.replaced, ...tree.replacedLocal]).length > 0;
  const hasLocals = active([...tree.requestedLocal, ...tree.replacedLocal]).length > 0;
  return {
    verb: tree.followsApt ? "dist-upgrade" : "install",
    config: [...(replaces ? AS_NAMED : []), ...(hasLocals ? FROM_FILES : [])],
    words: [
      ...active(tree.requested),
      ...paths(tree.requestedLocal),
      ...active(tree.replaced),
      ...paths(tree.replacedLocal),
      ...active(tree.removed).map((name) => `${name}-`),
    ],
  };
}

/** Whether there is anything for apt to do. */
export function hasWords({ verb, words }: AptWords): boolean {
  return verb === "dist-upgrade" || words.length > 0;
}

/** Without these no host could be administered, or started, any more. */
const INDISPENSABLE: ReadonlySet<string> = new Set([
  ...["apt", "apt-ostree", "bubblewrap", "dpkg", "dracut", "init", "libc6", "ostree", "ostree-boot", "systemd", "systemd-sysv"],
]);

/** Refuses to take out of the base what every host needs. Throws ProtectedPackage. */
export function refuseIndispensable({ removed }: TreeState): void {
  const needed = removed.filter((name) => INDISPENSABLE.has(name));
  if (needed.length === 0) return;
  throw new AptOstreeError("ProtectedPackage", `cannot remove ${needed.join(", ")}: no deployment can be without`, { details: { removed: needed } });
}

/**
 * Refuses every change of the base beyond what the tree's state says: the base is what its publisher made it. Throws ProtectedPackage
 * with the list, and with what to do about it.
 */
export function refuseBaseChanges(summary: InstallSummary, tree: TreeState): void {
  const bare = (name: string): string => name.replace(/:.*$/, "");
  const replaced = new Set([...tree.replaced, ...tree.replacedLocal].map(packageName));
  const mayReplace = (name: string): boolean => tree.followsApt || replaced.has(bare(name));
  const removed = summary.removed.filter((name) => !tree.removed.includes(bare(name)));
  const upgraded = summary.upgraded.filter((name) => !mayReplace(name));
  const downgraded = summary.downgraded.filter((name) => !mayReplace(name));
  const touched = [
    ...removed.map((name) => `remove ${name}`),
    ...upgraded.map((name) => `upgrade ${name}`),
    ...downgraded.map((name) => `downgrade ${name}`),
  ];
  if (touched.length === 0) return;
  throw new AptOstreeError(
    "ProtectedPackage",
    `cannot layer the packages: apt would ${touched.join(", ")}, which the base has; "override replace" and "override remove" allow that`,
    { details: { removed, upgraded, downgraded } },
  );
}

/** Parts archives to be downloaded from the local packages among them, which apt lists by their paths in the sandbox. */
export function withoutLocals(archives: readonly Archive[]): { archives: Archive[]; localFiles: string[] } {
  const isLocal = ({ uri }: Archive): boolean => uri.startsWith(`file:${INSIDE.locals}/`);
  return { archives: archives.filter((archive) => !isLocal(archive)), localFiles: archives.filter(isLocal).map(({ fileName }) => fileName) };
}
