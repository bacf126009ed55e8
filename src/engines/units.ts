/** Units of our own in a tree. */
import { rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { madePathInside } from "./inside.ts";

const UNIT_DIR = "usr/lib/systemd/system";

/** Writes a unit into a tree, to be started on the way to sysinit.target (bootup(7)). */
export async function addBootUnit(root: string, name: string, text: string): Promise<void> {
  const unit = await madePathInside(root, join(UNIT_DIR, name));
  await rm(unit, { force: true });
  await writeFile(unit, text, { mode: 0o644 });
  const link = await madePathInside(root, join(UNIT_DIR, "sysinit.target.wants", name));
  await rm(link, { force: true });
  await symlink(`../${name}`, link);
}
