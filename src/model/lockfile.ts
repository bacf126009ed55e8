/** Lock files: the very packages of a tree, so that it can be reviewed, compared line by line, and composed again. */
import { AptOstreeError } from "./errors.ts";
import type { InstalledPackage } from "./plan.ts";
import { parseYaml, type YamlNode } from "./yaml.ts";

/** A package archive that a tree was made of. */
export interface LockedPackage extends InstalledPackage {
  readonly sizeBytes: number;
  /** Of the archive, in lower-case hex. */
  readonly sha256: string;
}

/** What a tree was made of, apart from its treefile. */
export interface LockFile {
  /** The tree's own architecture and then foreign ones. */
  readonly architectures: readonly string[];
  /** Suites of the sources, for people. */
  readonly suites: readonly string[];
  /** SOURCE_DATE_EPOCH, in seconds: files that are made during a compose have it in them. */
  readonly timestampS: number;
  /** Sorted by name and architecture. */
  readonly packages: readonly LockedPackage[];
}

/** The canonical text of a lock file, a YAML document: one package a line, in a fixed order. Equal lock files, equal texts. */
export function formatLockFile(lock: LockFile): string {
  const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  const packages = [...lock.packages].sort((a, b) => order(a.name, b.name) || order(a.architecture, b.architecture));
  const quoted = JSON.stringify;
  return [
    "# The packages of a tree: `apt-ostree compose tree --lockfile FILE` installs these and no others.",
    `architectures: [${lock.architectures.join(", ")}]`,
    `suites: [${lock.suites.join(", ")}]`,
    `timestamp: ${lock.timestampS}`,
    "packages:",
    ...packages.map(
      ({ name, version, architecture, sizeBytes, sha256 }) =>
        `  - {name: ${quoted(name)}, version: ${quoted(version)}, architecture: ${architecture}, size: ${sizeBytes}, sha256: ${quoted(sha256)}}`,
    ),
    "",
  ].join("\n");
}

/** Parses a lock file. `file` stands for it in messages. Throws ConfigInvalid with file and line. */
export function parseLockFile(text: string, file: string): LockFile {
  const root = parseYaml(text, file);
  root.allowOnly(["architectures", "suites", "timestamp", "packages"]);
  const words = (key: string, pattern: RegExp, what: string): string[] =>
    root
      .require(key)
      .list()
      .map((node) => node.match(pattern, what));
  const packages = root.require("packages").list().map(packageOf);
  const seen = new Set<string>();
  for (const one of packages) {
    if (seen.has(packageKey(one)))
      throw new AptOstreeError("ConfigInvalid", `cannot use ${file}: it has ${packageKey(one)} twice`, { details: { file, package: one.name } });
    seen.add(packageKey(one));
  }
  return {
    architectures: words("architectures", ARCHITECTURE, "an architecture such as amd64"),
    suites: words("suites", /^[a-z0-9][a-z0-9.-]*$/, "a suite such as trixie"),
    timestampS: Number(root.require("timestamp").matchSource(/^\d{1,11}$/, "seconds since 1970")),
    packages,
  };
}

/** "NAME:ARCHITECTURE": a package of a tree. */
export function packageKey({ name, architecture }: Pick<InstalledPackage, "name" | "architecture">): string {
  return `${name}:${architecture}`;
}

const ARCHITECTURE = /^[a-z0-9][a-z0-9-]*$/;

function packageOf(node: YamlNode): LockedPackage {
  node.allowOnly(["name", "version", "architecture", "size", "sha256"]);
  return {
    name: node.require("name").match(/^[a-z0-9][a-z0-9+.-]+$/, "the name of a package"),
    version: node.require("version").match(/^[A-Za-z0-9.+:~-]+$/, "a version"),
    architecture: node.require("architecture").match(ARCHITECTURE, "an architecture such as amd64"),
    sizeBytes: Number(node.require("size").matchSource(/^\d{1,15}$/, "a size in bytes")),
    sha256: node.require("sha256").match(/^[0-9a-f]{64}$/, "a SHA-256 in hex"),
  };
}
