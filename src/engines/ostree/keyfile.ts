/** Key files, the format of ostree's configuration (GLib, "Key-value file parser"). */

/** Values by group and key, as they are written, blanks around them taken off. What is no line of a key file is skipped. */
export function parseKeyFile(text: string): Map<string, Map<string, string>> {
  const groups = new Map<string, Map<string, string>>();
  let group = new Map<string, string>();
  for (const line of text.split("\n")) {
    const header = /^\s*\[(.+)\]\s*$/.exec(line)?.[1];
    if (header !== undefined) {
      group = groups.get(header) ?? new Map();
      groups.set(header, group);
    }
    const [, key, value] = /^([A-Za-z0-9-]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) group.set(key, value);
  }
  return groups;
}
