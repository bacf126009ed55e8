/**
 * One name for a path in both trees. A deployment keeps some of /var and /opt below /usr, and a boot makes links that lead there: what is
 * behind such a link has the link's name, and the link itself none.
 */
import { dirname, join } from "node:path";

/** Directories of a deployment, and what they stand for. */
const MOVED: readonly (readonly [string, string])[] = [
  ["usr/lib/sysimage/dpkg", "var/lib/dpkg"],
  ["usr/lib/sysimage/var", "var"],
  ["usr/lib/opt", "var/opt"],
];

/** Sources of what a boot has put into /var already, where it is compared. */
const FACTORY = "usr/share/factory/var";

/** The path that the entry has in a plain Debian with the same links at the top; null for what has no counterpart there. */
export function logicalPath({ path, type, target }: { readonly path: string; readonly type: string; readonly target: string }): string | null {
  if (isBelow(path, FACTORY) || path === "usr/lib/sysimage") return null;
  if (type === "l" && /^var\//.test(path)) {
    const to = target.startsWith("/") ? target.slice(1) : join(dirname(path), target);
    if (MOVED.some(([from, name]) => isBelow(to, from) && to.replace(from, name) === path)) return null;
  }
  for (const [from, name] of MOVED) {
    if (path === from && name !== "var/lib/dpkg") return null;
    if (isBelow(path, from)) return path.replace(from, name);
  }
  return path;
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}
