/**
 * Treefiles: what a base tree is composed of, as a YAML mapping. Parsing is strict: an unknown key or a wrong value is refused
 * with file, line and key, so that a misspelt key never composes a tree that lacks something.
 */
import { type DebconfAnswer, parseDebconfAnswers } from "./debconf.ts";
import { AptOstreeError } from "./errors.ts";
import { checkPackageSpec } from "./names.ts";
import { parseYaml, type YamlNode } from "./yaml.ts";

/** A file to put into the tree, over what the packages ship. */
export interface AddFile {
  /** Absolute, in the tree, as a running system sees it: `/etc/…`, not `/usr/etc/…`. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** The content itself, or the file that has it, relative to the treefile. */
  readonly source: { readonly content: string } | { readonly from: string };
}

/** Package sources that a treefile names itself, as a deb822 stanza would (sources.list(5)). */
export interface SourceStanza {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** A keyring, on this machine and in the tree alike; empty for apt's own. */
  readonly signedBy: string;
}

/** A treefile, with all that it includes. */
export interface Treefile {
  readonly suite: string;
  /** The tree's own architecture and then foreign ones (dpkg --add-architecture); empty for that of this machine. */
  readonly architectures: readonly string[];
  readonly components: readonly string[];
  /** Ref of the result; may hold `{arch}` and `{suite}`. */
  readonly ref: string;
  /** Version of the result; may hold `{arch}`, `{suite}` and `{date}` (YYYYMMDD of the newest package list, UTC). */
  readonly version: string;
  readonly packages: readonly string[];
  /** More packages, by architecture: the keys `packages-ARCH`. */
  readonly archPackages: Readonly<Record<string, readonly string[]>>;
  /** Install what packages recommend, too. */
  readonly recommends: boolean;
  /** Kernel arguments for whoever deploys the tree. */
  readonly kargs: readonly string[];
  readonly units: { readonly enable: readonly string[]; readonly mask: readonly string[] };
  readonly addFiles: readonly AddFile[];
  /** Runs in the tree as root, without network, before the tree takes OSTree's shape; null for none. */
  readonly postprocess: { readonly content: string } | { readonly from: string } | null;
  /** Answers for the questions of the packages, given before these are unpacked; of two for one question the last counts. */
  readonly debconf: readonly DebconfAnswer[];
  /** "machine": the sources of this machine's apt that carry the suite. */
  readonly sources: "machine" | readonly SourceStanza[];
}

/** What one file says by itself; null where it leaves a value to others. */
export interface TreefilePart extends Omit<Treefile, "suite" | "components" | "ref" | "version" | "recommends" | "sources"> {
  /** Treefiles to build upon, relative to this one. */
  readonly include: readonly string[];
  readonly suite: string | null;
  readonly components: readonly string[] | null;
  readonly ref: string | null;
  readonly version: string | null;
  readonly recommends: boolean | null;
  readonly sources: Treefile["sources"] | null;
}

const KEYS = [
  "include",
  "suite",
  "architectures",
  "components",
  "ref",
  "version",
  "packages",
  "recommends",
  "kargs",
  "units",
  "add-files",
  "postprocess-script",
  "debconf",
  "sources",
] as const;

const SUITE = /^[a-z0-9][a-z0-9.-]*$/;
const ARCHITECTURE = /^[a-z0-9][a-z0-9-]*$/;
const COMPONENT = /^[a-z0-9][a-z0-9-]*(\/[a-z0-9-]+)*$/;
/** As ostree_validate_rev has it, with our templates. */
const REF = /^[A-Za-z0-9{_][A-Za-z0-9{}._-]*(\/[A-Za-z0-9{_][A-Za-z0-9{}._-]*)*$/;
const UNIT = /^[A-Za-z0-9:_.\\@-]+\.(service|socket|target|timer|path|mount|automount|swap|slice)$/;
const URI = /^(https?|file|copy):\/[^\s[\]]+$/;
const KARG = /^[^\s"]+("[^"\n]*")?$/;
/** Made anew by each boot, or by ostree: nothing in a tree can be there. */
const NOT_IN_TREES = /^\/(boot|dev|proc|run|sys|sysroot|ostree|tmp)(\/|$)/;
const TEMPLATES = ["arch", "suite", "date"];

/** Parses a treefile that includes none. `name` stands for the file in messages. Throws ConfigInvalid. */
export function parseTreefile(text: string, name: string): Treefile {
  return mergeParts([parseTreefilePart(text, name)], name);
}

/** Parses one file of a treefile. Throws ConfigInvalid. */
export function parseTreefilePart(text: string, name: string): TreefilePart {
  const root = parseYaml(text, name);
  const archKeys = root.keys().filter((key) => /^packages-[a-z0-9-]+$/.test(key));
  root.allowOnly([...KEYS, ...archKeys], `${KEYS.join(", ")} and packages-ARCHITECTURE`);
  const units = root.get("units");
  units?.allowOnly(["enable", "mask"]);
  const packages = (key: string): string[] => unique(root.get(key)?.list().map(packageOf) ?? []);
  const components = root.get("components");
  const ref = root.get("ref");
  const version = root.get("version");
  return {
    include: strings(root.get("include"), /^[^\n]+$/, "the path of a treefile"),
    suite: root.get("suite")?.match(SUITE, "a suite such as trixie") ?? null,
    architectures: unique(strings(root.get("architectures"), ARCHITECTURE, "an architecture such as amd64")),
    components: components === null ? null : nonEmpty(components, COMPONENT, "a component such as main"),
    ref: ref === null ? null : template(ref, REF, "a ref such as debian/13/{arch}/base", ["arch", "suite"]),
    version: version === null ? null : template(version, /^[^\s'"]+$/, "a version without blanks and quotes", TEMPLATES),
    packages: packages("packages"),
    archPackages: Object.fromEntries(archKeys.map((key) => [key.slice("packages-".length), packages(key)])),
    recommends: root.get("recommends")?.boolean() ?? null,
    kargs: strings(root.get("kargs"), KARG, "one kernel argument"),
    units: {
      enable: strings(units?.get("enable") ?? null, UNIT, "a unit such as example.service"),
      mask: strings(units?.get("mask") ?? null, UNIT, "a unit such as example.timer"),
    },
    addFiles: root.get("add-files")?.list().map(addFileOf) ?? [],
    postprocess: scriptOf(root.get("postprocess-script")),
    debconf: parseDebconfAnswers(root.get("debconf")?.string() ?? "", `${name} (debconf)`),
    sources: sourcesOf(root.get("sources")),
  };
}

/**
 * One treefile of a file (`name` in messages) and those that it includes: the lists follow one another, and of single values, the
 * script and the sources those of the last part that has them count. The included ones come first. Throws ConfigInvalid.
 */
export function mergeParts(parts: readonly TreefilePart[], name: string): Treefile {
  const last = <T>(of: (part: TreefilePart) => T | null): T | null => parts.map(of).findLast((value) => value !== null) ?? null;
  const all = <T>(of: (part: TreefilePart) => readonly T[]): T[] => unique(parts.flatMap(of));
  const required = (key: "suite" | "ref" | "version"): string => {
    const value = last((part) => part[key]);
    if (value === null) throw new AptOstreeError("ConfigInvalid", `cannot use ${name}: the key ${key} is missing`, { details: { file: name, key } });
    return value;
  };
  const architectures = new Set(parts.flatMap((part) => Object.keys(part.archPackages)));
  return {
    suite: required("suite"),
    architectures: all((part) => part.architectures),
    components: last((part) => part.components) ?? ["main"],
    ref: required("ref"),
    version: required("version"),
    packages: all((part) => part.packages),
    archPackages: Object.fromEntries([...architectures].map((architecture) => [architecture, all((part) => part.archPackages[architecture] ?? [])])),
    recommends: last((part) => part.recommends) ?? false,
    kargs: all((part) => part.kargs),
    units: { enable: all((part) => part.units.enable), mask: all((part) => part.units.mask) },
    addFiles: all((part) => part.addFiles),
    postprocess: last((part) => part.postprocess),
    debconf: all((part) => part.debconf),
    sources: last((part) => part.sources) ?? "machine",
  };
}

/** Fills `{arch}`, `{suite}` and `{date}` in. */
export function fillTemplate(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{([a-z]+)\}/g, (whole, key: string) => values[key] ?? whole);
}

function packageOf(node: YamlNode): string {
  const spec = node.string();
  try {
    return checkPackageSpec(spec);
  } catch (error) {
    if (error instanceof AptOstreeError) throw node.wrong("a package: NAME, NAME:ARCH, NAME=VERSION or NAME/SUITE");
    throw error;
  }
}

function addFileOf(node: YamlNode): AddFile {
  node.allowOnly(["path", "mode", "content", "from"]);
  const pathNode = node.require("path");
  const path = pathNode.string();
  const parts = path.split("/").slice(1);
  if (!path.startsWith("/") || parts.some((part) => part === "" || part === "." || part === "..") || path.includes("\n"))
    throw pathNode.wrong("an absolute path without empty parts, . and ..");
  if (NOT_IN_TREES.test(path)) throw pathNode.wrong("a path that a tree can hold");
  if (/^\/usr\/etc(\/|$)/.test(path)) throw pathNode.wrong("a path as a running system has it: /etc, not /usr/etc");
  const content = node.get("content");
  const from = node.get("from");
  if ((content === null) === (from === null)) throw node.wrong("a file with either content or from");
  return {
    path,
    mode: Number.parseInt(
      node
        .get("mode")
        ?.matchSource(/^(0o?)?[0-7]{3,4}$/, "octal permissions such as 0644")
        .replace("o", "") ?? "0644",
      8,
    ),
    source: content !== null ? { content: content.string() } : { from: from?.match(/^[^\n]+$/, "a path") ?? "" },
  };
}

function scriptOf(node: YamlNode | null): Treefile["postprocess"] {
  if (node === null) return null;
  if (!node.isMapping()) return { content: node.string() };
  node.allowOnly(["file"]);
  return { from: node.require("file").match(/^[^\n]+$/, "a path") };
}

function sourcesOf(node: YamlNode | null): Treefile["sources"] | null {
  if (node === null) return null;
  if (!node.isList() && node.match(/^machine$/, '"machine" or a list of sources') === "machine") return "machine";
  const stanzas = node.list().map((stanza) => {
    stanza.allowOnly(["uri", "suites", "components", "signed-by"]);
    return {
      uri: stanza.require("uri").match(URI, "an http, https, file or copy address"),
      suites: nonEmpty(stanza.require("suites"), SUITE, "a suite such as trixie"),
      components: nonEmpty(stanza.require("components"), COMPONENT, "a component such as main"),
      signedBy: stanza.get("signed-by")?.match(/^\/[^\s[\]]+$/, "the absolute path of a keyring") ?? "",
    };
  });
  if (stanzas.length === 0) throw node.wrong("at least one source");
  return stanzas;
}

function template(node: YamlNode, pattern: RegExp, what: string, known: readonly string[]): string {
  const text = node.match(pattern, what);
  const unknown = [...text.matchAll(/\{([^}]*)\}?/g)].find(([whole, key]) => !whole.endsWith("}") || !known.includes(key ?? ""));
  if (unknown !== undefined) throw node.wrong(`${what}, with no templates but ${known.map((key) => `{${key}}`).join(", ")}`);
  return text;
}

function strings(node: YamlNode | null, pattern: RegExp, what: string): string[] {
  return node?.list().map((item) => item.match(pattern, what)) ?? [];
}

function nonEmpty(node: YamlNode, pattern: RegExp, what: string): string[] {
  const values = strings(node, pattern, what);
  if (values.length === 0) throw node.wrong(`a list with ${what}`);
  return values;
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
