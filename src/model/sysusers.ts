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

/** The name of the unit that a tree with accounts of its own has. */
export const ACCOUNTS_UNIT = "apt-ostree-accounts.service";

/**
 * ostree merges /etc file by file, so of passwd and shadow, or group and gshadow, one may be the host's and the other the new tree's. Before
 * systemd-sysusers(8), which creates none of its accounts then, what one of them lacks or has too much is put right (pwconv(8)).
 */
export const ACCOUNTS_UNIT_TEXT = `[Unit]
Description=Account files that fit each other
DefaultDependencies=no
After=systemd-remount-fs.service
Before=systemd-sysusers.service sysinit.target shutdown.target
Conflicts=shutdown.target
ConditionNeedsUpdate=/etc

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'pwck -r -q || pwconv; grpck -r || grpconv'
`;

/** The numbers that a text of sysusers.d(5) gives to accounts; a user without a group of another number brings a group of its own. */
export function fixedNumbers(text: string): { type: "u" | "g"; account: string; id: string }[] {
  return text.split("\n").flatMap((line) => {
    const [, type, account = "", id = "", gid] = /^([ug])!?\s+(\S+)\s+(\d+)(?::(\S+))?(?:\s|$)/.exec(line) ?? [];
    if (type === "g") return [{ type, account, id }];
    return type === "u" ? [{ type, account, id } as const, ...(gid === undefined ? [{ type: "g", account, id } as const] : [])] : [];
  });
}

function quote(text: string): string {
  return `"${text.replace(/[\\"]/g, "\\$&").replace(/%/g, "%%")}"`;
}
