/** The changelogs that packages bring along, below /usr/share/doc of a tree (Debian Policy 12.7). */
import { posix } from "node:path";
import { entriesBetween } from "../../model/changelog.ts";
import type { ChangelogPart } from "../../model/inspection.ts";
import type { PackageChange } from "../../model/plan.ts";
import { exec } from "../exec.ts";
import { ostreeRepo } from "../ostree/ostree.ts";
import type { Paths } from "../paths.ts";
import { isMissingFile } from "./database.ts";

/** Changelogs begin with what is new, so this much of one is read, unpacked, and so much of that is passed on. */
const READ_BYTES = 1024 * 1024;
const MAX_TEXT_LENGTH = 64 * 1024;
const READ_TIMEOUT_MS = 60_000;
/** Directories of packages from one source may be links to each other's. */
const MAX_LINKS = 4;
/** That of a rebuild for one architecture, which goes first, then those of Debian packages and of such as Debian is the upstream of. */
const NAMES = [/^changelog\.Debian\.[a-z0-9-]+\.gz$/, /^changelog\.Debian(\.gz)?$/, /^changelog(\.gz)?$/];

/** What the changelog in the tree of a commit says about an upgrade of a package. */
export async function changelogPart(paths: Paths, commit: string, change: PackageChange): Promise<ChangelogPart> {
  const files = await changelogFiles(paths, commit, `/usr/share/doc/${change.name}`);
  const texts: string[] = [];
  for (const file of files) texts.push(entriesBetween(await readText(paths, commit, file), change.from, change.to));
  const text = texts.filter((one) => one !== "").join("\n\n");
  return { ...change, text: text.slice(0, MAX_TEXT_LENGTH), truncated: text.length > MAX_TEXT_LENGTH };
}

/** The paths of a package's Debian changelogs; the upstream one counts only where there is no other. */
async function changelogFiles(paths: Paths, commit: string, directory: string, links = 0): Promise<string[]> {
  const entries = await listDirectory(paths, commit, directory);
  const [self] = entries;
  if (self?.target !== undefined) {
    return links < MAX_LINKS ? await changelogFiles(paths, commit, posix.resolve(posix.dirname(directory), self.target), links + 1) : [];
  }
  const names = entries.map(({ path }) => posix.basename(path));
  const [rebuilt, debian, native] = NAMES.map((pattern) => names.filter((name) => pattern.test(name)));
  const found = [...(rebuilt ?? []), ...(debian ?? [])];
  return (found.length > 0 ? found : (native ?? [])).map((name) => `${directory}/${name}`);
}

/** `ostree ls`: the path itself, with its target where it is a link, then what is in it. */
async function listDirectory(paths: Paths, commit: string, path: string): Promise<{ path: string; target?: string }[]> {
  try {
    const text = await ostreeRepo(paths, `list ${path} of ${commit}`, ["ls", commit, path]);
    return text.split("\n").flatMap((line) => {
      const [, name, target] = /^\S+ +\d+ +\d+ +\d+ (\/.*?)(?: -> (.*))?$/.exec(line) ?? [];
      return name === undefined ? [] : [{ path: name, ...(target === undefined ? {} : { target }) }];
    });
  } catch (error) {
    if (isMissingFile(error)) return [];
    throw error;
  }
}

async function readText(paths: Paths, commit: string, file: string): Promise<string> {
  const unpack = file.endsWith(".gz") ? "gzip -dc" : "cat";
  const script = `ostree cat --repo="$1" "$2" "$3" | ${unpack} 2>/dev/null | head -c ${READ_BYTES}`;
  return (await exec("sh", ["-c", script, "sh", paths.repo, commit, file], { timeoutMs: READ_TIMEOUT_MS })).stdout;
}
