/** Accounts as sysusers.d(5) lines: ostree keeps an edited /etc/passwd, so accounts that a tree adds must be made at boot. */

/**
 * The system accounts of a tree with their numbers, which its files carry, save for those that `leftOut` names by type ("u", "g"),
 * name and number. `passwd` and `group` are texts (passwd(5), group(5)).
 */
export function formatSysusers(
  passwd: string,
  group: string,
  leftOut: (type: "u" | "g", name: string, id: string) => boolean = () => false,
): string[] {
  const isOurs = (type: "u" | "g", [name = "", , id = ""]: readonly string[]): boolean => isSystem(id) && !leftOut(type, name, id);
  const groups = rowsOf(group, 4).filter((row) => isOurs("g", row));
  const users = rowsOf(passwd, 7).filter((row) => isOurs("u", row));
  const userNames = new Set(
    rowsOf(passwd, 7)
      .filter(([, , uid]) => isSystem(uid))
      .map(([name]) => name),
  );
  return [
    ...groups.map(([name, , gid]) => `g ${name} ${gid} -`),
    ...users.map(
      ([name, , uid, gid, gecos = "", home, shell]) => `u ${name} ${uid}:${gid} ${gecos === "" ? "-" : quote(gecos)} ${home || "-"} ${shell || "-"}`,
    ),
    ...rowsOf(group, 4).flatMap(([name, , , members = ""]) =>
      members
        .split(",")
        .filter((member) => userNames.has(member))
        .map((member) => `m ${member} ${name}`),
    ),
  ];
}

/** Below it are system accounts (Debian policy 9.2.2), and 65534 is nobody. */
const FIRST_HUMAN_ID = 1000;
const NOBODY_ID = 65534;

function isSystem(id: string | undefined): boolean {
  const number = Number(id);
  return (number > 0 && number < FIRST_HUMAN_ID) || number === NOBODY_ID;
}

/** The lines with at least so many fields; anything else is not an account. */
function rowsOf(text: string, fields: number): string[][] {
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .filter((row) => row.length >= fields && /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(row[0] ?? "") && /^\d+$/.test(row[2] ?? ""));
}

function quote(text: string): string {
  return `"${text.replace(/[\\"]/g, "\\$&").replace(/%/g, "%%")}"`;
}
