/** Changelogs of Debian packages (deb-changelog(5)). */
import { compareVersions } from "./version.ts";

const HEADER = /^[a-z0-9][a-z0-9+.-]*\s+\(([^\s()]+)\)(?:\s|$)/i;

/** The entries of the versions above `from` up to `to`, in the order of the file, blank lines at the ends taken off; empty where there are none. */
export function entriesBetween(changelog: string, from: string, to: string): string {
  const wanted: string[] = [];
  let inside = false;
  for (const line of changelog.split("\n")) {
    const version = HEADER.exec(line)?.[1];
    if (version !== undefined) inside = compareVersions(version, from) > 0 && compareVersions(version, to) <= 0;
    if (inside) wanted.push(line.trimEnd());
  }
  return wanted.join("\n").replace(/^\n+|\n+$/g, "");
}
