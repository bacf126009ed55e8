/** Everything that a treefile says, read into memory once: the treefile with those it includes, the files they name, and the digest of it all. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { exec } from "../engines/exec.ts";
import { AptOstreeError } from "../model/errors.ts";
import { type LockFile, parseLockFile } from "../model/lockfile.ts";
import { digestOf } from "../model/plan.ts";
import { fillTemplate, mergeParts, parseTreefilePart, type Treefile, type TreefilePart } from "../model/treefile.ts";

/** Raised whenever the same treefile and packages would give another tree. */
export const POLICY_VERSION = 5;

/** A file for the tree, with its content. */
export interface InputFile {
  readonly path: string;
  readonly mode: number;
  readonly content: Buffer;
}

/** What a compose is made of, apart from the packages. */
export interface Inputs {
  readonly treefile: Treefile;
  /** The tree's own architecture, first, and foreign ones. */
  readonly architectures: readonly [string, ...string[]];
  readonly ref: string;
  readonly packages: readonly string[];
  readonly files: readonly InputFile[];
  readonly script: Buffer | null;
  /** Digest of all of this and the policy version. */
  readonly digest: string;
}

/** A lock file with the name that people know it by. */
export interface NamedLock {
  readonly name: string;
  readonly content: LockFile;
}

/** Reads a lock file for a treefile. Throws ConfigInvalid where it cannot be read or is of other architectures or suites. */
export async function readLock(path: string, { treefile, architectures }: Inputs): Promise<NamedLock> {
  const content = parseLockFile((await readInput(resolve(path))).toString("utf8"), path);
  const refuse = (why: string): AptOstreeError => new AptOstreeError("ConfigInvalid", `cannot use ${path}: ${why}`, { details: { file: path } });
  if (content.architectures.join() !== architectures.join())
    throw refuse(`it is for ${content.architectures.join(", ")}, and the tree is for ${architectures.join(", ")}`);
  if (!content.suites.includes(treefile.suite)) throw refuse(`it is of ${content.suites.join(", ")}, and the tree is of ${treefile.suite}`);
  return { name: path, content };
}

/** Reads a treefile. Throws ConfigInvalid where it or a file that it names cannot be read. */
export async function readInputs(path: string): Promise<Inputs> {
  const treefile = mergeParts(await readParts(path, []), path);
  const [first = await machineArchitecture(), ...foreign] = treefile.architectures;
  const contentOf = async (source: { content: string } | { from: string }): Promise<Buffer> =>
    "content" in source ? Buffer.from(source.content) : await readInput(source.from);
  const files = await Promise.all(treefile.addFiles.map(async ({ path, mode, source }) => ({ path, mode, content: await contentOf(source) })));
  const script = treefile.postprocess === null ? null : await contentOf(treefile.postprocess);
  const packages = [...new Set([...treefile.packages, ...(treefile.archPackages[first] ?? [])])];
  const digest = digestOf({
    policy: POLICY_VERSION,
    treefile: { ...treefile, architectures: [first, ...foreign], addFiles: [], postprocess: null },
    files: files.map((input) => ({ path: input.path, mode: input.mode, sha256: sha256(input.content) })),
    script: script === null ? "" : sha256(script),
  });
  const ref = fillTemplate(treefile.ref, { arch: first, suite: treefile.suite });
  return { treefile, architectures: [first, ...foreign], ref, packages, files, script, digest };
}

/** A treefile's parts, the included ones first; each file that they name by its absolute path. `above`: the files that include this one. */
async function readParts(path: string, above: readonly string[]): Promise<TreefilePart[]> {
  const file = resolve(path);
  if (above.includes(file))
    throw new AptOstreeError("ConfigInvalid", `cannot use ${path}: it includes itself`, { details: { file: path, included: [...above, file] } });
  const part = parseTreefilePart((await readInput(file)).toString("utf8"), path);
  const beside = (name: string): string => resolve(dirname(file), name);
  const absolute = <T extends { content: string } | { from: string }>(source: T): T | { from: string } =>
    "from" in source ? { from: beside(source.from) } : source;
  const included: TreefilePart[] = [];
  for (const name of part.include) included.push(...(await readParts(relativeTo(path, name), [...above, file])));
  const addFiles = part.addFiles.map((one) => ({ ...one, source: absolute(one.source) }));
  return [...included, { ...part, addFiles, postprocess: part.postprocess === null ? null : absolute(part.postprocess) }];
}

/** A file that another one names, as people would: relative where that one is. */
function relativeTo(path: string, name: string): string {
  return isAbsolute(name) ? name : join(dirname(path), name);
}

async function machineArchitecture(): Promise<string> {
  return (await exec("dpkg", ["--print-architecture"])).stdout.trim();
}

async function readInput(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new AptOstreeError("ConfigInvalid", `cannot read ${path}: ${(error as Error).message}`, { details: { file: path }, cause: error });
  }
}

/** The SHA-256 of some bytes, in lower-case hex. */
export function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}
