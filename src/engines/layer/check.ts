/** What a layer may hold: checked before it is committed, so that a bad one is refused and named, not deployed. */
import { lstat, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { DPKG_ADMIN_DIR, listPackageStates, unmergedUpdates } from "../dpkg.ts";
import { pathInside, readInside } from "../inside.ts";
import type { WorkTree } from "./mount.ts";
import { GIVEN_PATHS } from "./stubs.ts";
import type { UpperScan } from "./upper.ts";

/** Paths in an upper directory that dpkg, shadow and the sandbox leave, and that apt-get on a running system would not, or that must not be shared. */
export const RESIDUE: readonly string[] = [
  "etc",
  "usr/etc/.pwd.lock",
  "usr/etc/machine-id",
  "usr/etc/.updated",
  ...["passwd-", "group-", "shadow-", "gshadow-", "subuid-", "subgid-"].map((name) => `usr/etc/${name}`),
  ...["lock", "lock-frontend", "triggers/Lock", "status-old", "diversions-old", "statoverride-old"].map((name) => `${DPKG_ADMIN_DIR}/${name}`),
];

/** Removes the residue from an upper directory, and copies of what was only lent to the scripts. */
export async function scrubUpper({ upper, below }: WorkTree): Promise<void> {
  for (const path of GIVEN_PATHS) {
    const given = await readInside(below, path);
    if (given !== null && given === (await readInside(upper, path))) await rm(join(upper, path));
  }
  for (const name of RESIDUE) {
    const path = await pathInside(upper, name);
    if (path === null) continue;
    if (name === "etc") await rmdir(path).catch(ignoreMissing);
    else await rm(path, { force: true });
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}

/** Refuses what a deployment cannot hold. Throws LayerInvalid naming the path, ScriptFailed naming the packages. */
export async function checkLayer(tree: WorkTree, scan: UpperScan): Promise<void> {
  const stray = scan.entries.filter((entry) => !entry.path.includes("/") && entry.type !== "d");
  if (stray.length > 0) {
    throw new AptOstreeError(
      "LayerInvalid",
      `cannot commit the layer: a package made /${stray.map((entry) => entry.path).join(", /")}, and only directories may be at the top`,
      {
        details: { paths: stray.map((entry) => `/${entry.path}`) },
      },
    );
  }
  const database = await pathInside(tree.upper, join(DPKG_ADMIN_DIR, "status"));
  if (database === null || !(await lstat(database)).isFile()) {
    throw new AptOstreeError("LayerInvalid", "cannot commit the layer: a package replaced dpkg's database");
  }
  await checkPackages(join(tree.upper, DPKG_ADMIN_DIR));
}

/** Every package must be installed and configured with no trigger left to run, or be gone save for its configuration. */
async function checkPackages(adminDir: string): Promise<void> {
  const bad = (await listPackageStates(adminDir)).filter((p) => !/^([ih]i|[rpu][nc]|un) $/.test(p.abbrev));
  const left = [...bad.map((p) => `${p.name} (${p.abbrev.trim()})`), ...(await unmergedUpdates(adminDir)).map((name) => `update ${name}`)];
  if (left.length > 0) {
    throw new AptOstreeError("ScriptFailed", `cannot commit the layer: dpkg has not finished ${left.join(", ")}`, {
      details: { packages: bad.map((p) => p.name) },
    });
  }
}
