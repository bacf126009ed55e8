/** How files are read whose bytes say more than is compared: databases whose order means nothing, and accounts, which are compared by name. */

/** The two texts by which a file is compared instead of by its bytes; `other` reads another file of the same tree. */
type Reader = (text: string, other: (path: string) => string) => string;

const READERS: readonly { readonly paths: RegExp; readonly read: Reader }[] = [
  { paths: /^var\/lib\/dpkg\/(status|available)$/, read: sortedStanzas },
  { paths: /^var\/lib\/apt\/extended_states$/, read: sortedStanzas },
  { paths: /^var\/cache\/debconf\/(config|templates|passwords)\.dat$/, read: sortedStanzas },
  { paths: /^etc\/passwd$/, read: (text, other) => usersByName(text, other("etc/group")) },
  { paths: /^etc\/group$/, read: groupsByName },
  { paths: /^etc\/shadow$/, read: shadowWithoutDay },
  { paths: /^etc\/(gshadow|subuid|subgid|shells)$/, read: sortedLines },
];

/** Whether a file is read in a way of its own. */
export function hasNormalForm(path: string): boolean {
  return READERS.some(({ paths }) => paths.test(path));
}

/** What a file says, in a form that is equal where the files say the same. */
export function normalForm(path: string, text: string, other: (path: string) => string): string {
  return READERS.find(({ paths }) => paths.test(path))?.read(text, other) ?? text;
}

/** Stanzas of deb822 in any order. */
function sortedStanzas(text: string): string {
  return text
    .split(/\n{2,}/)
    .map((stanza) => stanza.trim())
    .filter((stanza) => stanza !== "")
    .sort()
    .join("\n\n");
}

function sortedLines(text: string): string {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .sort()
    .join("\n");
}

/** passwd(5) with the name of the group in place of both numbers. */
function usersByName(passwd: string, group: string): string {
  const groups = new Map(rows(group).map(([name = "", , gid = ""]) => [gid, name]));
  return sortedLines(
    rows(passwd)
      .map(([name, password, , gid = "", ...others]) => [name, password, groups.get(gid) ?? gid, ...others].join(":"))
      .join("\n"),
  );
}

/** group(5) without numbers, members in any order. */
function groupsByName(group: string): string {
  return sortedLines(
    rows(group)
      .map(([name, password, , members = ""]) => [name, password, members.split(",").sort().join(",")].join(":"))
      .join("\n"),
  );
}

/** shadow(5) without the day of the last change. */
function shadowWithoutDay(shadow: string): string {
  return sortedLines(
    rows(shadow)
      .map(([name, password, , ...others]) => [name, password, "", ...others].join(":"))
      .join("\n"),
  );
}

function rows(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(":"));
}
