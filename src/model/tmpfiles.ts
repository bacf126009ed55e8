/** Lines of tmpfiles.d(5): what a boot makes in /var of a tree whose commit cannot hold it. */

/** What a line makes, from what. */
export interface TmpfilesEntry {
  /** "d" directory, "L" link, "C" copy, "f" empty file, "p" pipe; each only where there is nothing. */
  readonly type: "d" | "L" | "C" | "f" | "p";
  /** Absolute. */
  readonly path: string;
  /** Octal permissions, "-" for a link's and for those of the original; like user and group with ":" in front where they are only for what the line itself makes. */
  readonly mode: string;
  readonly user: string;
  readonly group: string;
  /** Where a link leads to or what is copied, "-" for what needs none. */
  readonly argument: string;
}

/** The line. Blanks, quotes and backslashes are written as \xHH, "%" as "%%". */
export function formatTmpfiles({ type, path, mode, user, group, argument }: TmpfilesEntry): string {
  return `${type} ${escapeTmpfilesField(path)} ${mode} ${user} ${group} - ${argument === "-" ? "-" : escapeTmpfilesField(argument)}`;
}

/** A path as the field of a line. */
export function escapeTmpfilesField(text: string): string {
  return text.replace(/%/g, "%%").replace(/[\s"'\\]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** The paths that the lines of a tmpfiles.d file make (and do not merely clean, remove or adjust), without slash at the end. */
export function madeByTmpfiles(text: string): string[] {
  const paths: string[] = [];
  for (const line of text.split("\n")) {
    const path = /^[fFwdDvqQpLcbC][+!=~^$?-]*\s+(\S+)/.exec(line)?.[1];
    if (path !== undefined) paths.push(path.replace(/(.)\/+$/, "$1"));
  }
  return paths;
}
