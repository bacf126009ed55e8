/** The base that every sandbox of this checkout deploys: composed once from base.yaml, then answered from the repository. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { composeTree } from "../compose/tree.ts";
import { checkoutRoot, type Layout } from "./layout.ts";

/** A composed base. */
export interface Base {
  readonly repo: string;
  readonly ref: string;
  readonly commit: string;
  /** It was there already. */
  readonly cached: boolean;
  readonly tookMs: number;
}

/** The tree file of the base, as people would name it from the checkout. */
export const BASE_TREEFILE = "src/sandbox/base.yaml";

/**
 * Composes the base into the sandbox's repository, unless one of the same tree file is there, however old: a sandbox starts without
 * network then. Callers hold the sandbox's lock.
 */
export async function ensureBase(layout: Layout, onLine: (line: string) => void = () => {}): Promise<Base> {
  await mkdir(layout.directory, { recursive: true });
  const treefile = join(checkoutRoot(), BASE_TREEFILE);
  const { ref, commit, cached, tookMs } = await composeTree({ treefile, repo: layout.repo, cacheDir: layout.archives, cached: true, onLine });
  await writeFile(recordOf(layout), `${JSON.stringify({ ref, commit })}\n`);
  return { repo: layout.repo, ref, commit, cached, tookMs };
}

/** The base that was composed last, or null where none was. */
export async function recordedBase(layout: Layout): Promise<{ repo: string; ref: string; commit: string } | null> {
  const text = await readFile(recordOf(layout), "utf8").catch(() => null);
  if (text === null) return null;
  return { repo: layout.repo, ...(JSON.parse(text) as { ref: string; commit: string }) };
}

function recordOf(layout: Layout): string {
  return join(layout.directory, "base.json");
}
