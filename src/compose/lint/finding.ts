/** What a check of a composed tree says. */

/** One thing about a tree. */
export interface Finding {
  /** An error is what would not deploy, not boot, or not be the same on two machines; a warning is what is seldom meant. */
  readonly severity: "error" | "warning";
  /** What was looked for, one word or two. */
  readonly check: string;
  /** Absolute, in the tree. */
  readonly path: string;
  /** What is wrong with the path. */
  readonly why: string;
  /** What to do. */
  readonly remedy: string;
}

/** A look at a tree in OSTree shape: what it finds, in a fixed order. Reads only, and follows no link out of the tree. */
export type Check = (tree: string) => Promise<Finding[]>;

/** For checks: makes findings of one kind. */
export function finder(severity: Finding["severity"], check: string, remedy: string): (path: string, why: string) => Finding {
  return (path, why) => ({ severity, check, path, why, remedy });
}
