/** The refs that hold what is not deployed (yet): every commit must be reachable from one, or a prune takes it. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Paths } from "../paths.ts";
import { ostreeRepo } from "./ostree.ts";

/** Layers are remembered by their key under this prefix of refs, bases that layers were built on under the other. */
export const LAYER_REFS = "apt-ostree/layer";
export const BASE_REFS = "apt-ostree/base";
/** What runs import before their layers are whole. */
export const EARLY_REFS = "apt-ostree/early";

/** The ref of a layer. */
export function layerRef(layerKey: string): string {
  return `${LAYER_REFS}/${layerKey}`;
}

/** The ref that holds what a run imported before its layer was whole. */
export function earlyRef(runId: string): string {
  return `${EARLY_REFS}/${runId}`;
}

/** Removes a ref, if it is there. */
export async function dropRef(paths: Paths, ref: string): Promise<void> {
  await ostreeRepo(paths, `drop ref ${ref}`, ["refs", "--delete", ref]);
}

/**
 * The commit of a local ref, or null: libostree keeps it in a file below `refs/heads` ("Anatomy of an OSTree repository", refs),
 * so it takes no child to read.
 */
export async function readRef(paths: Paths, ref: string): Promise<string | null> {
  try {
    return (await readFile(join(paths.repo, "refs/heads", ref), "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Holds a base commit by a ref of its own: its published ref moves on, the layers built on it stay. */
export async function holdBase(paths: Paths, commit: string): Promise<void> {
  const ref = `${BASE_REFS}/${commit}`;
  if ((await readRef(paths, ref)) !== commit) await ostreeRepo(paths, `hold base ${commit}`, ["refs", "--force", "--create", ref, commit]);
}

/** When a local ref was last written, milliseconds since 1970; 0 where there is none. */
export async function refWrittenMs(paths: Paths, ref: string): Promise<number> {
  const there = await stat(join(paths.repo, "refs/heads", ref)).catch(() => null);
  return there === null ? 0 : there.mtimeMs;
}

/** Every ref under a prefix, with its commit. */
export async function listRefs(paths: Paths, prefix: string): Promise<Map<string, string>> {
  const text = await ostreeRepo(paths, "list refs", ["refs", "--list", "-r", prefix]);
  const refs = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [ref, commit] = line.split(/\s+/);
    if (ref !== undefined && commit !== undefined && commit !== "") refs.set(ref, commit);
  }
  return refs;
}
