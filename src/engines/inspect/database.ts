/** The dpkg databases of commits, read from the repository without checking anything out. */
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import type { InstalledPackage } from "../../model/plan.ts";
import { keyOf, type RelatedPackage } from "../../model/why.ts";
import { INSIDE } from "../apt/config.ts";
import { DPKG_ADMIN_DIR, listPackages } from "../dpkg.ts";
import { exec } from "../exec.ts";
import { ostreeRepo } from "../ostree/ostree.ts";
import type { Paths } from "../paths.ts";
import { removeTree } from "../tree.ts";

const QUERY_TIMEOUT_MS = 60_000;
/** Some 20,000 packages. */
const MAX_STATUS_BYTES = 64 * 1024 * 1024;

/** The packages that are installed in a commit, sorted. Throws NotFound where it has no dpkg database. */
export async function packagesOf(paths: Paths, commit: string): Promise<InstalledPackage[]> {
  return await withDatabase(paths, commit, listPackages);
}

/** The same, with the relations that bring other packages. */
export async function relatedPackagesOf(paths: Paths, commit: string): Promise<RelatedPackage[]> {
  return await withDatabase(paths, commit, relatedPackages);
}

/** Tells of each package of a commit whether apt marks it as installed for others only. */
export async function autoMarksOf(paths: Paths, commit: string): Promise<(one: InstalledPackage) => boolean> {
  let text = "";
  try {
    text = await ostreeRepo(paths, `read the marks of ${commit}`, ["cat", commit, INSIDE.extendedStates]);
  } catch (error) {
    // A tree that apt has never marked anything in has no such file.
    if (!isMissingFile(error)) throw error;
  }
  const stanzas = text.split("\n\n").filter((stanza) => /^Auto-Installed: 1$/m.test(stanza));
  const marks = stanzas.map((stanza) => ({
    name: /^Package: (\S+)$/m.exec(stanza)?.[1] ?? "",
    of: /^Architecture: (\S+)$/m.exec(stanza)?.[1] ?? "",
  }));
  const exact = new Set(marks.map(({ name, of }) => keyOf({ name, architecture: of })));
  // apt marks packages for all architectures under the native one.
  const names = new Set(marks.map(({ name }) => name));
  return (one) => exact.has(keyOf(one)) || (one.architecture === "all" && names.has(one.name));
}

/** ostree says so of a path that the commit has not. */
export function isMissingFile(error: unknown): boolean {
  return error instanceof AptOstreeError && /No such file or directory/.test(error.message);
}

const FIELDS = ["Package", "Architecture", "Version", "db:Status-Abbrev", "Multi-Arch", "Provides", "Pre-Depends", "Depends", "Recommends"];

async function relatedPackages(adminDir: string): Promise<RelatedPackage[]> {
  const format = `${FIELDS.map((field) => `\${${field}}`).join("\\t")}\\n`;
  const { stdout } = await exec("dpkg-query", [`--admindir=${adminDir}`, "-W", "-f", format], { timeoutMs: QUERY_TIMEOUT_MS });
  return stdout.split("\n").flatMap((line) => {
    const [name = "", architecture = "", version = "", abbrev = "", multiArch = "", provides = "", preDepends = "", depends = "", recommends = ""] =
      line.split("\t");
    if (abbrev[1] !== "i") return [];
    return [{ name, architecture, version, multiArch, provides, relations: { "Pre-Depends": preDepends, Depends: depends, Recommends: recommends } }];
  });
}

/** Gives a directory that dpkg-query takes for an admin directory: the status file of a commit, alone. */
async function withDatabase<T>(paths: Paths, commit: string, read: (adminDir: string) => Promise<T>): Promise<T> {
  const status = await statusOf(paths, commit);
  await mkdir(paths.tmp, { recursive: true, mode: 0o700 });
  const adminDir = await mkdtemp(join(paths.tmp, "dpkg-"));
  try {
    await mkdir(join(adminDir, "updates"));
    await writeFile(join(adminDir, "status"), status);
    return await read(adminDir);
  } finally {
    await removeTree(adminDir);
  }
}

async function statusOf(paths: Paths, commit: string): Promise<string> {
  try {
    const path = `/${DPKG_ADMIN_DIR}/status`;
    return await ostreeRepo(paths, `read the packages of ${commit}`, ["cat", commit, path], { maxOutputBytes: MAX_STATUS_BYTES });
  } catch (error) {
    if (!isMissingFile(error)) throw error;
    throw new AptOstreeError("NotFound", `cannot read the packages of ${commit}: it has no dpkg database`, { cause: error });
  }
}
