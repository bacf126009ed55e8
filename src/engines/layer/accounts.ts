/** Accounts that layered packages added. */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ACCOUNTS_UNIT, ACCOUNTS_UNIT_TEXT, formatSysusers } from "../../model/sysusers.ts";
import { madePathInside, readInside } from "../inside.ts";
import { addBootUnit } from "../units.ts";

/** Where a layer declares the accounts that it needs (sysusers.d(5)). */
export const LAYER_SYSUSERS = "usr/lib/sysusers.d/apt-ostree-layer.conf";

/** Declares the system accounts that the layer has and the base has not, with the numbers that the layer's files carry. */
export async function captureAccounts(upper: string, baseTree: string): Promise<void> {
  const before = new Set(await accountLines(baseTree, baseTree));
  const lines = (await accountLines(upper, baseTree)).filter((line) => !before.has(line));
  if (lines.length === 0) return;
  const file = await madePathInside(upper, LAYER_SYSUSERS);
  await rm(file, { force: true });
  await writeFile(file, `# Accounts of the layered packages, with their numbers.\n${lines.join("\n")}\n`, { mode: 0o644 });
  await addBootUnit(upper, ACCOUNTS_UNIT, ACCOUNTS_UNIT_TEXT);
}

async function accountLines(tree: string, baseTree: string): Promise<string[]> {
  const read = async (file: string): Promise<string> => {
    const path = join("usr/etc", file);
    return (await readInside(tree, path)) ?? (await readInside(baseTree, path)) ?? "";
  };
  return formatSysusers(await read("passwd"), await read("group"));
}
