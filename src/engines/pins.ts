/** The file of pinned account numbers, in the daemon's state directory: it outlives every tree. */
import { open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { AptOstreeError } from "../model/errors.ts";
import type { AccountNumbers } from "../model/numbers.ts";
import { canonicalJson } from "../model/plan.ts";

/** Reads the pins; there are none where there is no file. Throws ConfigInvalid where the file is not one of pins. */
export async function readPins(file: string): Promise<AccountNumbers> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "{}";
    throw error;
  });
  try {
    const { users = {}, groups = {} } = JSON.parse(text) as Partial<Record<keyof AccountNumbers, unknown>>;
    return { users: numbersOf(users), groups: numbersOf(groups) };
  } catch (error) {
    throw new AptOstreeError("ConfigInvalid", `cannot read the account numbers in ${file}: ${(error as Error).message}`, {
      details: { file },
      cause: error,
    });
  }
}

/** Writes them, if they are others than the file has; they are on the disk then. */
export async function writePins(file: string, { users, groups }: AccountNumbers): Promise<void> {
  const text = `${canonicalJson({ users: Object.fromEntries(users), groups: Object.fromEntries(groups) })}\n`;
  if (text === (await readFile(file, "utf8").catch(() => ""))) return;
  const fresh = `${file}.new`;
  const handle = await open(fresh, "w", 0o644);
  await handle
    .writeFile(text)
    .then(() => handle.sync())
    .finally(() => handle.close());
  await rename(fresh, file);
  const directory = await open(dirname(file), "r");
  await directory.sync().finally(() => directory.close());
}

function numbersOf(value: unknown): Map<string, number> {
  const entries = Object.entries(value as Record<string, unknown>);
  const wrong = entries.find(([, number]) => !Number.isInteger(number));
  if (wrong !== undefined) throw new Error(`the number of ${wrong[0]} is none`);
  return new Map(entries as [string, number][]);
}
