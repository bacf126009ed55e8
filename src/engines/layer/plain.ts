/**
 * What no layer can hold, looked for as soon as a command in the tree has ended: before anything in it is opened, which can do something
 * where it is a device and wait for ever where it is a pipe, and before names that cannot be passed on lead nowhere.
 */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { exec } from "../exec.ts";
import { refuseForeignNames } from "../var.ts";
import type { WorkTree } from "./mount.ts";
import { isWhiteout, SCAN_TIMEOUT_MS } from "./upper.ts";

/** What is done with the layer, for messages. */
const DOING = "commit the layer";

/**
 * Throws LayerInvalid, naming the paths, where a name in the upper directory, /var or /boot is not UTF-8, and where the upper directory
 * has anything but files, directories, links and whiteouts. In /var such have a meaning of their own, and in /boot they are refused later.
 */
export async function requirePlain({ upper, var: varDir, boot }: Pick<WorkTree, "upper" | "var" | "boot">): Promise<void> {
  const entries = await list(upper);
  refuseForeignNames(
    [
      ...entries.map(({ path }) => `/${path}`),
      ...(await list(varDir)).map(({ path }) => `/var/${path}`),
      ...(await list(boot)).map(({ path }) => `/boot/${path}`),
    ],
    DOING,
  );
  const special: string[] = [];
  for (const { type, path } of entries) {
    if (!"fdl".includes(type) && !(type === "c" && isWhiteout(await lstat(join(upper, path))))) special.push(`/${path}`);
  }
  if (special.length === 0) return;
  special.sort();
  throw new AptOstreeError("LayerInvalid", `cannot ${DOING}: ${special.join(", ")} is neither file, directory nor link`, {
    details: { paths: special },
  });
}

/** Types as find(1) calls them, and paths relative to the directory. */
async function list(directory: string): Promise<{ type: string; path: string }[]> {
  const { stdout } = await exec("find", [directory, "-mindepth", "1", "-printf", "%y%P\\0"], { timeoutMs: SCAN_TIMEOUT_MS });
  const records = stdout.split("\0").filter((record) => record !== "");
  return records.map((record) => ({ type: record.slice(0, 1), path: record.slice(1) }));
}
