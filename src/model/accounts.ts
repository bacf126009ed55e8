/** The account files of a tree: passwd(5) and group(5). */

/** Names by number. */
export interface AccountNames {
  readonly users: ReadonlyMap<string, string>;
  readonly groups: ReadonlyMap<string, string>;
}

/** The names of the accounts in the texts of passwd(5) and group(5). Of two names of a number the first counts, as for getpwuid(3). */
export function accountNames(passwd: string, group: string): AccountNames {
  const byNumber = (rows: readonly string[][]): Map<string, string> => new Map(rows.map(([name = "", , id = ""]) => [id, name] as const).reverse());
  return { users: byNumber(accountRows(passwd, 7)), groups: byNumber(accountRows(group, 4)) };
}

/** The lines with at least so many fields, split; anything else is not an account. */
export function accountRows(text: string, fields: number): string[][] {
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .filter((row) => row.length >= fields && /^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/.test(row[0] ?? "") && /^\d+$/.test(row[2] ?? ""));
}

/** Whether a number is that of a system account by Debian policy 9.2.2: neither root nor a person. 60000 to 64999 are given out by Debian. */
export function isSystemId(id: string | undefined): boolean {
  const number = Number(id);
  return (number > 0 && number < 1000) || (number >= 60_000 && number < 65_000) || number === 65_534;
}
