/** The accounts of a tree: their names by number, and the sysusers.d(5) file that brings those of a new base to hosts with an /etc/passwd of their own. */
import { addBootUnit } from "../engines/units.ts";
import { type AccountNames, accountNames } from "../model/accounts.ts";
import { ACCOUNTS_UNIT, ACCOUNTS_UNIT_TEXT, fixedNumbers, formatSysusers } from "../model/sysusers.ts";
import { namesIn, readTreeFile, writeTreeFile } from "./files.ts";

const SYSUSERS_FILE = "usr/lib/sysusers.d/00-apt-ostree.conf";

/** Reads passwd(5) and group(5) of a tree; `etc` is "usr/etc" in one of OSTree's shape. */
export async function readAccounts(tree: string, etc: "etc" | "usr/etc" = "etc"): Promise<AccountNames> {
  return accountNames(await readTreeFile(tree, `${etc}/passwd`), await readTreeFile(tree, `${etc}/group`));
}

/**
 * Declares the system accounts with the numbers that they have in the tree: ostree keeps a changed /etc/passwd, so accounts that
 * a later base adds would be missing there, and files of the tree have numbers. Accounts to which packages give a fixed number
 * themselves are left to them.
 */
export async function writeSysusers(tree: string): Promise<void> {
  const fixed = await declaredNumbers(tree);
  const [passwd, group] = await Promise.all([readTreeFile(tree, "etc/passwd"), readTreeFile(tree, "etc/group")]);
  const lines = formatSysusers(passwd, group, (type, name, id) => fixed.get(`${type} ${name}`) === id);
  await writeTreeFile(tree, SYSUSERS_FILE, `# System accounts of this tree, with their numbers.\n${lines.join("\n")}\n`);
  await addBootUnit(tree, ACCOUNTS_UNIT, ACCOUNTS_UNIT_TEXT);
}

/** Numbers that sysusers.d of a tree gives, by type and name ("u sshd"); a user without a group of another number brings a group of its own. */
export async function declaredNumbers(tree: string): Promise<Map<string, string>> {
  const fixed = new Map<string, string>();
  for (const name of (await namesIn(tree, "usr/lib/sysusers.d")).filter((file) => file.endsWith(".conf"))) {
    for (const { type, account, id } of fixedNumbers(await readTreeFile(tree, `usr/lib/sysusers.d/${name}`))) fixed.set(`${type} ${account}`, id);
  }
  return fixed;
}

/** The rows of a file like passwd(5) that have at least so many columns. */
export async function rowsOf(tree: string, path: string, columns: number): Promise<string[][]> {
  return (await readTreeFile(tree, path))
    .split("\n")
    .map((line) => line.split(":"))
    .filter((fields) => fields.length >= columns);
}
