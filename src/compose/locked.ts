/**
 * The hold of a lock file on a bootstrap: apt is told to know no versions but the locked ones, and what its sources offer is compared with
 * the lock file before anything is fetched, what was installed before anything is committed. It all happens in hooks of mmdebstrap(1).
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../model/errors.ts";
import { type LockedPackage, type LockFile, packageKey } from "../model/lockfile.ts";
import { ignore } from "./files.ts";

/** Where a tree keeps the lock file of its own packages. */
export const TREE_LOCK_FILE = "usr/share/apt-ostree/compose.lock.yaml";
/** apt's preferences during the compose. */
export const LOCK_PREFERENCES = "etc/apt/preferences.d/00-apt-ostree-lock";

/** From the specs of packages ("NAME:ARCH=VERSION") on standard input to one line each, as `lineOf` writes it. */
const DESCRIBE = `xargs --no-run-if-empty env APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-cache show -- 2>/dev/null | awk '
  $1 == "Package:" { name = $2 }
  $1 == "Version:" { version = $2 }
  $1 == "Architecture:" { architecture = $2 }
  $1 == "Size:" { size = $2 }
  $1 == "SHA256:" { hash = $2 }
  $0 == "" && name != "" { print name, version, architecture, size, hash; name = "" }'`;

/** The variable of the environment that tells the hooks where their files are. */
export const HOOK_DIRECTORY = "APT_OSTREE_WORK";
const AT = `"$${HOOK_DIRECTORY}"`;

/** mmdebstrap's arguments that make it write down what it installed. */
export function describingArguments(): string[] {
  const specs = "dpkg-query --admindir=\"$1/var/lib/dpkg\" -W -f '${binary:Package}=${Version}\\n'";
  return [`--customize-hook=${specs} | ${DESCRIBE} >${AT}/${INSTALLED}`];
}

/** mmdebstrap's arguments that hold it to a lock file. `directory` is that of the hooks. */
export async function lockingArguments(lock: LockFile, directory: string): Promise<string[]> {
  const lines = (of: (one: LockedPackage) => string): string => lock.packages.map((one) => `${of(one)}\n`).join("");
  await writeFile(join(directory, "lock-preferences"), preferencesOf(lock));
  await writeFile(join(directory, "locked"), lines(lineOf));
  await writeFile(
    join(directory, "locked-specs"),
    lines((one) => `${nameForApt(one)}=${one.version}`),
  );
  const script = [
    `cp ${AT}/lock-preferences "$1/${LOCK_PREFERENCES}"`,
    'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get update',
    `cat ${AT}/locked-specs | ${DESCRIBE} >${AT}/${OFFERED}`,
    `! grep --line-regexp --fixed-strings --invert-match --file=${AT}/${OFFERED} ${AT}/locked`,
  ];
  return [`--setup-hook=${script.join(" && ")}`];
}

const OFFERED = "offered-packages";
const INSTALLED = "installed-packages";

/** Throws UnknownPackage or VerificationFailed where the sources had no such packages as the lock file names, by the words of the hook. */
export async function requireOffered(lock: LockFile, file: string, directory: string): Promise<void> {
  const offered = await packagesIn(join(directory, OFFERED));
  // Nothing was compared: the failure was another one, and is told by apt.
  if (offered === null) return;
  const found = new Map(offered.map((one) => [`${packageKey(one)}=${one.version}`, one]));
  const same = (one: LockedPackage): LockedPackage | undefined => found.get(`${packageKey(one)}=${one.version}`);
  const gone = lock.packages.filter((one) => same(one) === undefined);
  if (gone.length > 0)
    throw new AptOstreeError("UnknownPackage", `cannot compose from ${file}: the sources have no more ${listed(gone)}`, {
      details: { packages: gone.map((one) => one.name) },
    });
  const changed = lock.packages.filter((one) => same(one)?.sha256 !== one.sha256 || same(one)?.sizeBytes !== one.sizeBytes);
  if (changed.length > 0)
    throw new AptOstreeError("VerificationFailed", `cannot compose from ${file}: the sources have another archive of ${listed(changed)}`, {
      details: { packages: changed.map((one) => one.name) },
    });
}

/** What was installed, as the hook wrote it down. */
export async function installedPackages(directory: string): Promise<LockedPackage[]> {
  return (await packagesIn(join(directory, INSTALLED))) ?? [];
}

/** Throws Conflict where a tree differs from its lock file: the treefile does not bring just these packages. */
export function requireLocked(lock: LockFile, file: string, installed: readonly LockedPackage[]): void {
  const [locked, found] = [lock.packages, installed].map((packages) => new Map(packages.map((one) => [lineOf(one), one])));
  const missing = [...(locked ?? [])].filter(([line]) => found?.has(line) !== true).map(([, one]) => one);
  const besides = [...(found ?? [])].filter(([line]) => locked?.has(line) !== true).map(([, one]) => one);
  if (missing.length + besides.length === 0) return;
  const why = [
    ...(missing.length === 0 ? [] : [`the treefile does not bring ${listed(missing)}`]),
    ...(besides.length === 0 ? [] : [`it brings ${listed(besides)} besides`]),
  ];
  throw new AptOstreeError("Conflict", `cannot compose from ${file}: ${why.join("; ")}`, {
    details: { missing: missing.map((one) => one.name), besides: besides.map((one) => one.name) },
  });
}

/** apt_preferences(5): a negative priority makes a version one that is never installed, and the form for one package goes before the general one. */
function preferencesOf(lock: LockFile): string {
  const pins = lock.packages.map((one) => `Package: ${nameForApt(one)}\nPin: version ${one.version}\nPin-Priority: 1001\n`);
  return ["Package: *\nPin: release *\nPin-Priority: -1\n", ...pins].join("\n");
}

/** apt knows packages of all architectures under the native one's name. */
function nameForApt({ name, architecture }: LockedPackage): string {
  return architecture === "all" ? name : `${name}:${architecture}`;
}

function lineOf({ name, version, architecture, sizeBytes, sha256 }: LockedPackage): string {
  return `${name} ${version} ${architecture} ${sizeBytes} ${sha256}`;
}

async function packagesIn(file: string): Promise<LockedPackage[] | null> {
  const text = await readFile(file, "utf8").catch(ignore("ENOENT"));
  if (text === undefined) return null;
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [name = "", version = "", architecture = "", size = "", sha256 = ""] = line.split(" ");
      return { name, version, architecture, sizeBytes: Number(size), sha256 };
    });
}

const SHOWN = 10;

function listed(packages: readonly LockedPackage[]): string {
  const names = packages.slice(0, SHOWN).map(({ name, version, architecture }) => `${name} ${version} (${architecture})`);
  return packages.length > SHOWN ? `${names.join(", ")} and ${packages.length - SHOWN} more` : names.join(", ");
}
