/** Accounts: hosts have an /etc/passwd of their own, to which a boot adds what the tree declares (sysusers.d(5)). */
import { isSystemId } from "../../model/accounts.ts";
import { formatSysusers } from "../../model/sysusers.ts";
import { declaredNumbers, rowsOf } from "../accounts.ts";
import { readTreeFile } from "../files.ts";
import { type Finding, finder } from "./finding.ts";

const undeclared = finder("error", "sysusers", "declare it with its number in a file of /usr/lib/sysusers.d");
const shared = finder("error", "accounts", "give each account a number of its own");
const person = finder("warning", "accounts", "make it on the host, at the first boot or by hand");
const open = finder("error", "password", "lock the account (passwd -l) in the tree");
const known = finder("warning", "password", "set it on the host: whoever reads the tree can try to guess it");

/** System accounts without declaration, two accounts of one number, accounts of persons, passwords. */
export async function checkAccounts(tree: string): Promise<Finding[]> {
  const passwd = await rowsOf(tree, "usr/etc/passwd", 7);
  return [
    ...(await undeclaredAccounts(tree)),
    ...sameNumbers("/usr/etc/passwd", passwd),
    ...sameNumbers("/usr/etc/group", await rowsOf(tree, "usr/etc/group", 4)),
    ...passwd
      .filter(([, , uid]) => Number(uid) > 0 && !isSystemId(uid))
      .map(([name]) => person("/usr/etc/passwd", `${name} is the account of a person`)),
    ...(await passwords(tree)),
  ];
}

async function undeclaredAccounts(tree: string): Promise<Finding[]> {
  const declared = await declaredNumbers(tree);
  const [passwd, group] = await Promise.all([readTreeFile(tree, "usr/etc/passwd"), readTreeFile(tree, "usr/etc/group")]);
  return formatSysusers(passwd, group)
    .map((line) => line.split(" "))
    .filter(([type, name, id = ""]) => type !== "m" && declared.get(`${type} ${name}`) !== id.replace(/:.*/, ""))
    .map(([type, name, id = ""]) =>
      undeclared(type === "u" ? "/usr/etc/passwd" : "/usr/etc/group", `nothing declares ${name} with the number ${id.replace(/:.*/, "")}`),
    );
}

function sameNumbers(path: string, rows: readonly string[][]): Finding[] {
  const byNumber = new Map<string, string[]>();
  for (const [name = "", , id = ""] of rows) byNumber.set(id, [...(byNumber.get(id) ?? []), name]);
  return [...byNumber].filter(([, names]) => names.length > 1).map(([id, names]) => shared(path, `${names.join(" and ")} have the number ${id}`));
}

/** The second column of shadow(5): empty lets everybody in, "*" and "!…" nobody. */
async function passwords(tree: string): Promise<Finding[]> {
  const path = "/usr/etc/shadow";
  const rows = await rowsOf(tree, "usr/etc/shadow", 2);
  return rows.flatMap(([name = "", password = ""]) => {
    if (password === "") return [open(path, `${name} needs no password`)];
    return /^[*!]/.test(password) ? [] : [known(path, `${name} has the same password on every host`)];
  });
}
