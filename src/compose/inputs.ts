/** Everything that a treefile says, read into memory once: the treefile, the files it names, and the digest of it all. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { exec } from "../engines/exec.ts";
import { AptOstreeError } from "../model/errors.ts";
import { digestOf } from "../model/plan.ts";
import { fillTemplate, parseTreefile, type Treefile } from "../model/treefile.ts";

/** Raised whenever the same treefile and packages would give another tree. */
export const POLICY_VERSION = 2;

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

/** Reads a treefile. Throws ConfigInvalid where it or a file that it names cannot be read. */
export async function readInputs(path: string): Promise<Inputs> {
  const file = resolve(path);
  const text = await readInput(file);
  const treefile = parseTreefile(text.toString("utf8"), path);
  const [first = await machineArchitecture(), ...foreign] = treefile.architectures;
  const beside = (name: string): string => resolve(dirname(file), name);
  const contentOf = async (source: { content: string } | { from: string }): Promise<Buffer> =>
    "content" in source ? Buffer.from(source.content) : await readInput(beside(source.from));
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
