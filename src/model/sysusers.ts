/** Accounts as sysusers.d(5) lines: ostree keeps an edited /etc/passwd, so accounts that a tree adds must be made at boot. */
import { accountRows, isSystemId } from "./accounts.ts";

/**
 * The system accounts of a tree with their numbers, which its files carry, save for those that `leftOut` names by type ("u", "g"),
 * name and number. `passwd` and `group` are texts (passwd(5), group(5)).
 */
export function formatSysusers(
  passwd: string,
  group: string,
  leftOut: (type: "u" | "g", name: string, id: string) => boolean = () => false,
): string[] {
  const isOurs = (type: "u" | "g", [name = "", , id = ""]: readonly string[]): boolean => isSystemId(id) && !leftOut(type, name, id);
  const groups = accountRows(group, 4).filter((row) => isOurs("g", row));
  const users = accountRows(passwd, 7).filter((row) => isOurs("u", row));
  const userNames = new Set(
    accountRows(passwd, 7)
      .filter(([, , uid]) => isSystemId(uid))
      .map(([name]) => name),
  );
  return [
    ...groups.map(([name, , gid]) => `g ${name} ${gid} -`),
    ...users.map(
      ([name, , uid, gid, gecos = "", home, shell]) => `u ${name} ${uid}:${gid} ${gecos === "" ? "-" : quote(gecos)} ${home || "-"} ${shell || "-"}`,
    ),
    ...accountRows(group, 4).flatMap(([name, , , members = ""]) =>
      members
        .split(",")
        .filter((member) => userNames.has(member))
        .map((member) => `m ${member} ${name}`),
    ),
  ];
}

function quote(text: string): string {
  return `"${text.replace(/[\\"]/g, "\\$&").replace(/%/g, "%%")}"`;
}
