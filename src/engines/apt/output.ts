/**
 * What `apt-get -q` prints under the C locale, as values. apt promises no stable format for these texts; the samples in
 * `test/unit/output.test.ts` come from apt 2.6 and 3.0.
 */

import { withoutCredentials } from "../../model/credentials.ts";
import { AptOstreeError, type ErrorCode } from "../../model/errors.ts";
import type { Archive } from "../../model/plan.ts";

/**
 * The options that make apt-get list what it would download, one archive a line, with a hash worth having: without the first
 * one apt 2.6 and 3.0 print only MD5Sum here (apt.conf(5), Acquire::ForceHash). Archives that are already in
 * `Dir::Cache::archives` with the right size are left out, so plan with an empty one where the list has to be whole.
 */
export const PRINT_URIS_OPTIONS: readonly string[] = ["-o", "Acquire::ForceHash=SHA256", "--print-uris"];

const URI_LINE = /^'([^']+)' (\S+) (\d+)(?: (\S*))?\s*$/;

/**
 * The archives of `apt-get --print-uris` (apt-get(8)); all other lines are skipped. Addresses keep their %-escapes, names are
 * those of apt's archives directory. `hash` is empty where apt knows none of the forced kind. Throws Internal for a line
 * that begins like an address and is none.
 */
export function parsePrintUris(stdout: string): Archive[] {
  const archives: Archive[] = [];
  for (const line of stdout.split("\n")) {
    if (!line.startsWith("'")) continue;
    const [, uri, fileName, size, hash] = URI_LINE.exec(line) ?? [];
    if (uri === undefined || fileName === undefined || size === undefined)
      throw new AptOstreeError("Internal", `internal error: cannot read what apt-get --print-uris printed: ${line.slice(0, 200)}`);
    archives.push({ uri, fileName, sizeBytes: Number(size), hash: lowerCaseDigest(hash ?? "") });
  }
  return archives;
}

function lowerCaseDigest(hash: string): string {
  const colon = hash.indexOf(":");
  return colon === -1 ? "" : hash.slice(0, colon + 1) + hash.slice(colon + 1).toLowerCase();
}

/** What apt-get would do, by name; names carry ":architecture" where it is not the native one. */
export interface InstallSummary {
  readonly new: string[];
  readonly upgraded: string[];
  readonly downgraded: string[];
  readonly removed: string[];
  /** Kept at their version although there is a newer one. */
  readonly kept: string[];
  /** On hold, and changed nevertheless; each is in one of the other lists as well. */
  readonly heldChanged: string[];
}

const SECTIONS: readonly (readonly [RegExp, keyof InstallSummary])[] = [
  [/^The following NEW packages will be installed:$/, "new"],
  [/^The following packages will be upgraded:$/, "upgraded"],
  [/^The following packages will be DOWNGRADED:$/, "downgraded"],
  [/^The following packages will be REMOVED:$/, "removed"],
  [/^The following packages have been kept back:$/, "kept"],
  [/^The following upgrades have been deferred due to phasing:$/, "kept"],
  [/^The following held packages will be changed:$/, "heldChanged"],
];

/** The lists of names that apt-get prints before it does something (apt-get(8)); the purge mark "*" is taken off. */
export function parseInstallSummary(stdout: string): InstallSummary {
  const summary: InstallSummary = { new: [], upgraded: [], downgraded: [], removed: [], kept: [], heldChanged: [] };
  let names: string[] | null = null;
  for (const line of stdout.split("\n")) {
    if (line.startsWith("  ")) {
      const text = line.replace(/\([^)]*\)/g, " ").trim();
      if (names !== null && text !== "") names.push(...text.split(/\s+/).map((name) => name.replace(/\*$/, "")));
    } else {
      const section = SECTIONS.find(([heading]) => heading.test(line.trimEnd()));
      names = section === undefined ? null : summary[section[1]];
    }
  }
  return summary;
}

const UNKNOWN: readonly RegExp[] = [
  /^Unable to locate package (\S+)$/,
  /^Package '([^']+)' has no installation candidate$/,
  /^Version '([^']+)' for '([^']+)' was not found$/,
  /^Release '([^']+)' for '([^']+)' was not found$/,
  /^Couldn't find any package by (?:glob|regex|fnmatch) '([^']+)'$/,
  /^Can't select .* from package '?([^' ]+)'? as it is purely virtual$/,
];
const NO_SPACE = /No space left on device|Disk quota exceeded|You don't have enough free space/;
const UNSATISFIABLE =
  /Unable to satisfy dependencies|held broken packages|Unmet dependencies|generated breaks|Unable to correct (?:problems|dependencies)/;
const UNVERIFIED =
  /NO_PUBKEY|BADSIG|EXPKEYSIG|REVKEYSIG|is not signed|no longer signed|Missing key|signature verification failed|signatures? (?:couldn't|could not) be verified|Hash Sum mismatch|unexpected size|is expired|not valid yet|unauthenticated packages|be authenticated|clearsigned file/i;
const NOT_FETCHED = /Failed to fetch|Unable to fetch|index files failed|does not have a Release file|Could not resolve|Could not connect/;
const PROTECTED = /Essential packages were removed|remove the following essential/i;
const BAD_SOURCES =
  /^(?:Malformed |Type '|The list of sources|Unable to parse .*sources|Syntax error |The method driver )|Signed-By|conf(?:lict|igur)ed multiple times/;
const SCRIPT_FAILED = /Sub-process \S*dpkg returned an error code|Sub-process \S*dpkg exited unexpectedly/;

/** What could not be done, for each code, where the caller does not say it. */
const DOING: Partial<Record<ErrorCode, string>> = {
  UnknownPackage: "find the packages",
  Unsatisfiable: "satisfy the request",
  ProtectedPackage: "change the packages",
  ScriptFailed: "install the packages",
  VerificationFailed: "trust the sources",
  DownloadFailed: "download from the sources",
  ConfigInvalid: "read the sources",
};

/**
 * The error that the output of a failed apt-get (both streams, in any order) stands for. `doing` completes "cannot …":
 * "install nginx". Every unknown package is listed in `details.packages`; the reasons of an unsatisfiable request are in
 * `details.reasons`, with the words of apt 3's solver in `details.explanation`. Output that says nothing we know becomes Internal
 * with apt's own "E:" lines.
 */
export function parseAptError(output: string, doing?: string): AptOstreeError {
  const text = withoutCredentials(output);
  const errors = entries(text, "E: ");
  const said = [...errors, ...entries(text, "W: ")];
  const make = (code: ErrorCode, reasons: readonly string[], details: Readonly<Record<string, unknown>> = {}): AptOstreeError =>
    new AptOstreeError(code, `cannot ${doing ?? DOING[code] ?? "run apt"}: ${unique(reasons.map(firstLine)).join("; ")}`, {
      details: { ...details, errors: errors.map(firstLine) },
    });

  const unknown = unknownPackages(errors);
  if (unknown.packages.length > 0) return make("UnknownPackage", unknown.reasons, { packages: unknown.packages });
  if (NO_SPACE.test(text)) return make("NoSpace", matching(text, NO_SPACE));
  if (errors.some((error) => SCRIPT_FAILED.test(error))) {
    const failed = failedPackages(text);
    return make("ScriptFailed", failed.reasons.length > 0 ? failed.reasons : errors, { packages: failed.packages });
  }
  const reasons = unmetDependencies(text);
  if (reasons.length > 0 || errors.some((error) => UNSATISFIABLE.test(error))) {
    const explanation = solverExplanation(errors);
    return make("Unsatisfiable", reasons.length > 0 ? reasons : explanation.length > 1 ? explanation : errors, { reasons, explanation });
  }
  if (errors.some((error) => PROTECTED.test(error))) {
    const packages = essentialPackages(text);
    return make("ProtectedPackage", [`apt would remove ${packages.join(", ") || "essential packages"}`], { packages });
  }
  for (const [pattern, code] of [
    [UNVERIFIED, "VerificationFailed"],
    [NOT_FETCHED, "DownloadFailed"],
  ] as const) {
    const found = said.filter((entry) => pattern.test(entry));
    if (found.length > 0) return make(code, found);
  }
  if (errors.some((error) => BAD_SOURCES.test(error))) return make("ConfigInvalid", errors);
  if (errors.some((error) => error.includes("and -y was used without"))) return make("Unsatisfiable", errors);
  const lastLines = text.split("\n").filter((line) => line.trim() !== "");
  return make("Internal", errors.length > 0 ? errors : lastLines.length > 0 ? lastLines.slice(-3) : ["it gave no reason"]);
}

/** The entries that begin with a mark ("E: "), each with its indented continuation lines, the mark taken off. */
function entries(text: string, mark: string): string[] {
  const found: string[] = [];
  let open = false;
  for (const line of text.split("\n")) {
    if (line.startsWith(mark)) {
      found.push(line.slice(mark.length).trimEnd());
      open = true;
    } else if (open && /^\s+\S/.test(line)) {
      found.push(`${found.pop()}\n${line.trimEnd()}`);
    } else {
      open = false;
    }
  }
  return found;
}

function unknownPackages(errors: readonly string[]): { packages: string[]; reasons: string[] } {
  const packages: string[] = [];
  const reasons: string[] = [];
  for (const error of errors) {
    const match = UNKNOWN.map((pattern) => pattern.exec(error)).find((found) => found !== null);
    if (match === undefined || match === null) continue;
    const name = match[2] ?? match[1] ?? "";
    // A glob that matches nothing is reported three times.
    if (packages.includes(name)) continue;
    packages.push(name);
    reasons.push(`${error.charAt(0).toLowerCase()}${error.slice(1)}`);
  }
  return { packages, reasons };
}

/**
 * The block "The following packages have unmet dependencies:", one entry a broken relation: "a: Depends: b (>= 2) but it is not
 * installable". Alternatives that apt wraps over several lines are joined; Recommends are left out, they break nothing.
 */
function unmetDependencies(text: string): string[] {
  const lines = text.split("\n");
  const begin = lines.indexOf("The following packages have unmet dependencies:");
  if (begin === -1) return [];
  const reasons: string[] = [];
  let name = "";
  for (const line of lines.slice(begin + 1)) {
    if (!line.startsWith(" ")) break;
    const [, first, rest] = /^ (\S+) : (.*)$/.exec(line) ?? [];
    if (first !== undefined) name = first;
    const part = (rest ?? line).trim();
    if (/^[A-Z][A-Za-z-]*: /.test(part)) reasons.push(`${name}: ${part}`);
    else if (reasons.length > 0) reasons.push(`${reasons.pop()} ${part}`);
  }
  return reasons.filter((reason) => !/^\S+: (?:Recommends|Suggests|Enhances): /.test(reason));
}

/** The lines of apt 3's solver, "Unable to satisfy dependencies. Reached two conflicting decisions:" and what follows. */
function solverExplanation(errors: readonly string[]): string[] {
  const explained = errors.find((error) => error.includes("Unable to satisfy dependencies"));
  if (explained === undefined) return [];
  return explained
    .slice(explained.indexOf("Unable to satisfy dependencies"))
    .split("\n")
    .map((line) => line.trim());
}

function failedPackages(text: string): { packages: string[]; reasons: string[] } {
  const failed = [...text.matchAll(/^dpkg: error processing (?:package|archive) (\S+) \(--\S+\):\n\s*(.*)$/gm)];
  return { packages: unique(failed.map((match) => match[1] ?? "")), reasons: failed.map((match) => `${match[1]}: ${match[2]}`) };
}

function essentialPackages(text: string): string[] {
  const block = /essential packages will be removed[^\n]*\n(?:\S[^\n]*\n)*((?: {2}[^\n]*\n?)*)/.exec(text)?.[1] ?? "";
  return block.split(/\s+/).filter((word) => /^[a-z0-9][a-z0-9+.:-]*$/.test(word));
}

function matching(text: string, pattern: RegExp): string[] {
  return text
    .split("\n")
    .filter((line) => pattern.test(line))
    .map((line) => line.replace(/^[EW]: /, "").trim());
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
