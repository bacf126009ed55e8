/** What the reading commands answer: packages of any revision, how two of them differ, and why a package is there or cannot be. */
import type { InstalledPackage, PackageChange } from "./plan.ts";

/** A revision that was found: a commit, and how a person may know it. */
export interface Revision {
  /** As it was asked for, or "booted", "pending" and so on where nothing was named. */
  readonly name: string;
  readonly commit: string;
  /** The version in the commit's metadata; empty where it has none. */
  readonly version: string;
  /** Seconds since 1970 that the commit carries. */
  readonly timestampS: number;
  /** The index of the deployment that it was asked for as; null for a commit, ref or version. */
  readonly deployment: number | null;
}

/** The packages of a revision, sorted by name and architecture. */
export interface PackageSet {
  readonly revision: Revision;
  readonly packages: readonly InstalledPackage[];
}

/** The packages in which two revisions differ. */
export interface PackageDiff {
  readonly from: Revision;
  readonly to: Revision;
  readonly changes: readonly PackageChange[];
}

/** What the changelog of an upgraded package says about the versions between; empty where the tree has none, or it does not say. */
export interface ChangelogPart extends PackageChange {
  readonly text: string;
  /** It was too long, and has been cut at the end. */
  readonly truncated: boolean;
}

/** The fields through which one package brings another; the strong ones first. */
export const BRINGING = ["Pre-Depends", "Depends", "Recommends"] as const;

/** One package that brings another. */
export interface Link {
  /** "NAME:ARCHITECTURE". */
  readonly from: string;
  readonly field: (typeof BRINGING)[number];
  /** The alternative that is fulfilled, as the field has it: "libc6 (>= 2.36)". */
  readonly relation: string;
  /** "NAME:ARCHITECTURE". */
  readonly to: string;
  /** It is fulfilled by a name that the package provides. */
  readonly provided: boolean;
}

/** Why a package is in a revision. */
export interface Why {
  readonly revision: Revision;
  readonly package: InstalledPackage;
  /**
   * "base": it is part of the base, in this version. "requested": it was asked for by name. "override": it replaces the base's.
   * "dependency": something else brings it.
   */
  readonly reason: "base" | "requested" | "override" | "dependency";
  /** The requests that name it, as they were made; with "base" they are inactive. */
  readonly requests: readonly string[];
  /** apt's mark: installed for others only, so that it goes when they do. */
  readonly auto: boolean;
  /** The shortest way to it from what was requested, or in the base from what was installed by name; empty where there is none. */
  readonly chain: readonly Link[];
  /** Everything that wants it directly, at most `MAX_WANTED_BY`. */
  readonly wantedBy: readonly Link[];
}

/** More are of no use to a person. */
export const MAX_WANTED_BY = 100;

/** Why a package is not there, and what would happen if it were installed now. */
export interface WhyNot {
  /** The package as it was named. */
  readonly spec: string;
  /**
   * "present": it is there. "installable": nothing stands in its way. "unknown": no source has it, or not in that version. "protected": it
   * would change the base. "unsatisfiable": apt finds no solution.
   */
  readonly verdict: "present" | "installable" | "unknown" | "protected" | "unsatisfiable";
  /** One sentence for people. */
  readonly summary: string;
  /** What is in the way, each on a line; with "installable" what would be downloaded. */
  readonly reasons: readonly string[];
  /** How apt's solver came to it, in its own words, where it says so. */
  readonly explanation: readonly string[];
  /** The versions that the sources have, newest first, with where they are from. */
  readonly versions: readonly { readonly version: string; readonly source: string }[];
  /** Other names that a person may have meant. */
  readonly similar: readonly string[];
}
