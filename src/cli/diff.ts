/** Package differences as text. */
import type { PackageChange } from "../model/plan.ts";
import { compareVersions } from "../model/version.ts";
import { printable } from "./format.ts";

/** The groups, in the order they are shown. */
export const GROUPS = ["added", "upgraded", "downgraded", "removed"] as const;
export type Group = (typeof GROUPS)[number];

/** The group a change belongs to. */
export function groupOf(change: PackageChange): Group {
  if (change.from === "") return "added";
  if (change.to === "") return "removed";
  return compareVersions(change.from, change.to) > 0 ? "downgraded" : "upgraded";
}

/**
 * The changes by group, "  NAME VERSION" or "  NAME OLD -> NEW" on a line each; empty where there are none. The architecture is
 * named only where a package changes in more than one.
 */
export function diffText(changes: readonly PackageChange[], indent = ""): string {
  const architectures = new Map<string, Set<string>>();
  for (const { name, architecture } of changes) architectures.set(name, (architectures.get(name) ?? new Set()).add(architecture));
  const nameOf = ({ name, architecture }: PackageChange): string => ((architectures.get(name)?.size ?? 0) > 1 ? `${name}:${architecture}` : name);
  return GROUPS.map((group) => {
    const members = changes.filter((change) => groupOf(change) === group).sort(byName);
    if (members.length === 0) return "";
    const lines = members.map((change) => `${indent}  ${printable(`${nameOf(change)} ${versionsOf(change)}`)}\n`);
    return `${indent}${group[0]?.toUpperCase()}${group.slice(1)}:\n${lines.join("")}`;
  }).join("");
}

/** How many of each group: "43 added, 2 upgraded"; empty where there are none. */
export function diffCount(changes: readonly PackageChange[]): string {
  return GROUPS.map((group) => [changes.filter((change) => groupOf(change) === group).length, group] as const)
    .filter(([count]) => count > 0)
    .map(([count, group]) => `${count} ${group}`)
    .join(", ");
}

function byName(a: PackageChange, b: PackageChange): number {
  return a.name === b.name ? (a.architecture < b.architecture ? -1 : 1) : a.name < b.name ? -1 : 1;
}

function versionsOf(change: PackageChange): string {
  if (change.from === "") return change.to;
  return change.to === "" ? change.from : `${change.from} -> ${change.to}`;
}
