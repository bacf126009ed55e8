/** Giving the accounts that packages created the numbers that they keep: in the account files, and on everything that belongs to them. */
import { constants } from "node:fs";
import { chmod, lchown, open, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { accountRows } from "../../model/accounts.ts";
import { type AccountNumbers, chooseNumbers } from "../../model/numbers.ts";
import { fixedNumbers } from "../../model/sysusers.ts";
import { exec } from "../exec.ts";
import { pathInside, readInside } from "../inside.ts";
import { readPins, writePins } from "../pins.ts";
import type { WorkTree } from "./mount.ts";
import { SCAN_TIMEOUT_MS } from "./upper.ts";

/** Where the numbers come from. */
export interface PinOptions {
  readonly tree: Pick<WorkTree, "upper" | "var">;
  readonly baseTree: string;
  /** /etc of the running system. */
  readonly runningEtc: string;
  /** The file of pinned numbers. */
  readonly pins: string;
  /** A directory for files of a moment. */
  readonly scratch: string;
}

/**
 * Renumbers the accounts that packages created in an unmounted upper directory and its /var, and pins their numbers. The names of those that
 * could not keep the number they had. Access control lists (acl(5)) keep the numbers that scripts wrote into them.
 */
export async function pinNumbers({ tree, baseTree, runningEtc, pins, scratch }: PinOptions): Promise<readonly string[]> {
  const base = await numbersIn(baseTree, "usr/etc");
  const layer = await numbersIn(tree.upper, "usr/etc");
  const created = { users: without(layer.users, base.users), groups: without(layer.groups, base.groups) };
  const choice = chooseNumbers({
    created,
    fixed: await fixedIn(tree.upper),
    pinned: await readPins(pins),
    base,
    host: await numbersIn(runningEtc, "."),
  });
  const users = moves(created.users, choice.numbers.users);
  const groups = moves(created.groups, choice.numbers.groups);
  if (users.size + groups.size > 0) {
    await rewrite(tree.upper, "usr/etc/group", ([name = "", , gid]) => [name, "", String(choice.numbers.groups.get(name) ?? gid)]);
    await rewrite(tree.upper, "usr/etc/passwd", ([name = "", , uid, gid]) => [
      name,
      "",
      String(choice.numbers.users.get(name) ?? uid),
      String(groups.get(Number(gid)) ?? gid),
    ]);
    await changeOwners([tree.upper, tree.var], users, groups, join(scratch, "capabilities"));
  }
  // Before anything carries the numbers to where they last.
  await writePins(pins, choice.pinned);
  return choice.displaced;
}

async function numbersIn(tree: string, etc: string): Promise<AccountNumbers> {
  const read = async (file: string, fields: number): Promise<Map<string, number>> =>
    new Map(accountRows((await readInside(tree, join(etc, file))) ?? "", fields).map(([name = "", , id]) => [name, Number(id)]));
  return { users: await read("passwd", 7), groups: await read("group", 4) };
}

function without(all: ReadonlyMap<string, number>, some: ReadonlyMap<string, number>): Map<string, number> {
  return new Map([...all].filter(([name]) => !some.has(name)));
}

/** New numbers by old ones, where they differ. */
function moves(from: ReadonlyMap<string, number>, to: ReadonlyMap<string, number>): Map<number, number> {
  return new Map([...from].map(([name, number]) => [number, to.get(name) ?? number] as const).filter(([old, now]) => old !== now));
}

/** The accounts to which the layer's own sysusers.d files give numbers. */
async function fixedIn(upper: string): Promise<{ users: Set<string>; groups: Set<string> }> {
  const directory = "usr/lib/sysusers.d";
  const fixed = { users: new Set<string>(), groups: new Set<string>() };
  const inside = await pathInside(upper, join(directory, "any"));
  for (const name of inside === null ? [] : await readdir(join(upper, directory))) {
    const text = name.endsWith(".conf") ? await readInside(upper, join(directory, name)) : null;
    for (const { type, account } of fixedNumbers(text ?? "")) fixed[type === "u" ? "users" : "groups"].add(account);
  }
  return fixed;
}

/** Replaces the first fields of each account's line, save for the password's; mode and owner of the file stay. */
async function rewrite(tree: string, path: string, fieldsOf: (row: readonly string[]) => readonly string[]): Promise<void> {
  const text = await readInside(tree, path);
  if (text === null) return;
  const lines = text.split("\n").map((line) => {
    const [row] = accountRows(line, 4);
    if (row === undefined) return line;
    const fields = fieldsOf(row);
    return row.map((field, index) => (index === 1 ? field : (fields[index] ?? field))).join(":");
  });
  const file = await open(join(tree, path), constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW);
  await file.writeFile(lines.join("\n")).finally(() => file.close());
}

const FILES_A_CALL = 500;

/** chown(2) takes setuid bits and capabilities away from files, so they are put back. */
async function changeOwners(
  directories: readonly string[],
  users: ReadonlyMap<number, number>,
  groups: ReadonlyMap<number, number>,
  dumpFile: string,
): Promise<void> {
  const tests = [...[...users.keys()].flatMap((id) => ["-o", "-uid", String(id)]), ...[...groups.keys()].flatMap((id) => ["-o", "-gid", String(id)])];
  const { stdout } = await exec("find", [...directories, "(", ...tests.slice(1), ")", "-printf", "%y %m %U %G %p\\0"], {
    timeoutMs: SCAN_TIMEOUT_MS,
  });
  const entries = stdout
    .split("\0")
    .map((record) => /^(\S) (\S+) (\d+) (\d+) ([\s\S]+)$/.exec(record))
    .filter((match) => match !== null)
    .map(([, type = "", mode = "", uid, gid, path = ""]) => ({ type, mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid), path }));
  const files = entries.filter(({ type }) => type === "f").map(({ path }) => path);
  const dump: string[] = [];
  for (let i = 0; i < files.length; i += FILES_A_CALL) {
    const args = ["-h", "-d", "-e", "hex", "-m", "^security\\.capability$", "--absolute-names", "--", ...files.slice(i, i + FILES_A_CALL)];
    dump.push((await exec("getfattr", args)).stdout);
  }
  for (const { type, mode, uid, gid, path } of entries) {
    await lchown(path, users.get(uid) ?? uid, groups.get(gid) ?? gid);
    if (type !== "l" && (mode & 0o6000) !== 0) await chmod(path, mode);
  }
  if (dump.join("").trim() === "") return;
  await writeFile(dumpFile, dump.join(""), { mode: 0o600 });
  await exec("setfattr", ["-h", `--restore=${dumpFile}`]);
}
