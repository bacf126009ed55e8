/** Asking a dpkg database that lies anywhere (dpkg-query(1)). */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { InstalledPackage } from "../model/plan.ts";
import { exec } from "./exec.ts";
import { readInside } from "./inside.ts";

/** Where the dpkg database is in a tree: with the deployment, under /usr. */
export const DPKG_ADMIN_DIR = "usr/lib/sysimage/dpkg";

/** A package with dpkg's three-word state, for example "ii ". */
export interface PackageState extends InstalledPackage {
  /** `db:Status-Abbrev` of dpkg-query(1): wanted, state and error flag. */
  readonly abbrev: string;
}

/** Some 1500 bytes a package. */
const MAX_STATUS_BYTES = 256 * 1024 * 1024;
const QUERY_TIMEOUT_MS = 60_000;

/** Every package that dpkg knows in an admin directory, sorted by name and architecture. */
export async function listPackageStates(adminDir: string): Promise<PackageState[]> {
  const format = "${Package}\\t${Architecture}\\t${Version}\\t${db:Status-Abbrev}\\n";
  const { stdout } = await exec("dpkg-query", [`--admindir=${adminDir}`, "-W", "-f", format], { timeoutMs: QUERY_TIMEOUT_MS });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [name = "", architecture = "", version = "", abbrev = ""] = line.split("\t");
      return { name, architecture, version, abbrev };
    });
}

/** The packages that are installed: those in state "i", whatever is wanted of them. */
export async function listPackages(adminDir: string): Promise<InstalledPackage[]> {
  const states = await listPackageStates(adminDir);
  return states.filter((p) => p.abbrev[1] === "i").map(({ name, architecture, version }) => ({ name, architecture, version }));
}

/** Updates that dpkg has written and not merged into its status file yet: files with numbers for names. */
export async function unmergedUpdates(adminDir: string): Promise<string[]> {
  const names = await readdir(join(adminDir, "updates")).catch(() => []);
  return names.filter((name) => /^\d+$/.test(name));
}

/** What dpkg finds wrong with the database of a whole tree (dpkg(1), `--audit`); empty where all is well. */
export async function audit(adminDir: string): Promise<string> {
  return (await exec("dpkg", [`--admindir=${adminDir}`, "--audit"], { okStatuses: [0, 1] })).stdout;
}

/** The paths below a directory ("/var", "/") that the packages of an admin directory ship, by their `info/*.list`. */
export async function packagedPaths(adminDir: string, directory: string): Promise<Set<string>> {
  const start = directory.endsWith("/") ? directory : `${directory}/`;
  const names = (await readdir(join(adminDir, "info")).catch(() => [])).filter((name) => name.endsWith(".list"));
  const lists = await Promise.all(names.map((name) => readInside(adminDir, join("info", name))));
  return new Set(lists.flatMap((list) => (list ?? "").split("\n").filter((path) => path.startsWith(start))));
}

/** The text of the status file of an admin directory that scripts have had their hands on; empty where there is none. */
export async function readStatus(adminDir: string): Promise<string> {
  return (await readInside(adminDir, "status", MAX_STATUS_BYTES)) ?? "";
}

/** The configuration files of the packages in a status file (`Conffiles`), which an upgrade does not replace. */
export function configurationFiles(status: string): Set<string> {
  return new Set([...status.matchAll(/^ (\/\S.*) [0-9a-f]{32}( obsolete)?$/gm)].map(([, path = ""]) => path));
}

/** The version of a package in a status file; empty where it is not there. */
export function versionIn(status: string, name: string): string {
  const stanza = status.split("\n\n").find((text) => text.startsWith(`Package: ${name}\n`)) ?? "";
  return /^Version: (\S+)$/m.exec(stanza)?.[1] ?? "";
}
