/** Extended attributes of a tree: file capabilities, access control lists, and whatever else is there. */
import { exec } from "../../src/engines/exec.ts";
import type { Names } from "./entries.ts";

const ACL = /^system\.posix_acl_(access|default)$/;

/** The attributes of each path that has any, sorted and joined, as text; the paths relative to the tree. */
export async function readXattrs(tree: string, names: Names): Promise<Map<string, string>> {
  const found = new Map<string, string[]>();
  let path = "";
  await exec("getfattr", ["-R", "-P", "-h", "-d", "-e", "hex", "-m", "-", "--absolute-names", "--", tree], {
    onLine: (line, stream) => {
      if (stream === "stderr") return;
      if (line.startsWith("# file: ")) {
        path = unescapeOctal(line.slice("# file: ".length)).slice(tree.length + 1);
        return;
      }
      const [, name, hex] = /^([^=]+)=0x([0-9a-f]*)$/.exec(line) ?? [];
      if (name === undefined || hex === undefined) return;
      const value = ACL.test(name) ? formatAcl(Buffer.from(hex, "hex"), names) : hex;
      found.set(path, [...(found.get(path) ?? []), `${name}=${value}`]);
    },
  });
  return new Map([...found].map(([name, values]) => [name, values.sort().join(" ")]));
}

/** An access control list (acl(5), linux/posix_acl_xattr.h): a version, then entries of a tag, permissions and a number, all little-endian. */
export function formatAcl(value: Buffer, names: Names): string {
  const entries: string[] = [];
  for (let at = 4; at + 8 <= value.length; at += 8) {
    const tag = value.readUInt16LE(at);
    const id = String(value.readUInt32LE(at + 4));
    const who =
      tag === USER
        ? `user:${names.users.get(id) ?? id}`
        : tag === GROUP
          ? `group:${names.groups.get(id) ?? id}`
          : (OTHER_TAGS.get(tag) ?? String(tag));
    entries.push(`${who}:${value.readUInt16LE(at + 2)}`);
  }
  return entries.sort().join(",");
}

const USER = 0x02;
const GROUP = 0x08;
const OTHER_TAGS: ReadonlyMap<number, string> = new Map([
  [0x01, "owner"],
  [0x04, "group"],
  [0x10, "mask"],
  [0x20, "other"],
]);

/** getfattr(1) writes unusual bytes of names as a backslash and three octal digits. */
function unescapeOctal(name: string): string {
  if (!name.includes("\\")) return name;
  const parts = name
    .split(/(\\[0-7]{3})/)
    .map((part) => (/^\\[0-7]{3}$/.test(part) ? Buffer.from([Number.parseInt(part.slice(1), 8)]) : Buffer.from(part)));
  return Buffer.concat(parts).toString("utf8");
}
