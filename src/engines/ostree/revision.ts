/** Finding a commit in the history of a ref: by its checksum, the start of that, or its version. */
import { AptOstreeError } from "../../model/errors.ts";
import type { Paths } from "../paths.ts";
import { ostreeRepo } from "./ostree.ts";

/** A commit of a history, newest first. */
export interface HistoryEntry {
  readonly commit: string;
  readonly version: string;
}

/** The history of a ref as far as the repository has it: `ostree log`, "commit CHECKSUM" and "Version: VERSION" (ostree-log(1)). */
export async function historyOf(paths: Pick<Paths, "repo">, refspec: string): Promise<HistoryEntry[]> {
  return parseLog(await ostreeRepo(paths, `read the history of ${refspec}`, ["log", refspec]));
}

/** Parses what `ostree log` prints. */
export function parseLog(text: string): HistoryEntry[] {
  const entries: { commit: string; version: string }[] = [];
  for (const line of text.split("\n")) {
    const commit = /^commit ([0-9a-f]{64})$/.exec(line)?.[1];
    const version = /^Version:\s+(.+)$/.exec(line)?.[1];
    const last = entries.at(-1);
    if (commit !== undefined) entries.push({ commit, version: "" });
    else if (version !== undefined && last !== undefined && last.version === "") last.version = version.trim();
  }
  return entries;
}

/** The commit that a revision stands for in a history. Throws NotFound with the newest versions, and InvalidRequest for an ambiguous one. */
export function pickRevision(history: readonly HistoryEntry[], refspec: string, revision: string): string {
  const exact = history.find(({ version }) => version === revision);
  if (exact !== undefined) return exact.commit;
  const starting = /^[0-9a-f]{4,64}$/.test(revision)
    ? [...new Set(history.map(({ commit }) => commit).filter((commit) => commit.startsWith(revision)))]
    : [];
  const [only] = starting;
  if (only !== undefined && starting.length === 1) return only;
  if (only !== undefined) throw new AptOstreeError("InvalidRequest", `cannot find ${revision} in ${refspec}: ${starting.length} commits begin so`);
  const known = history.slice(0, 5).map(({ commit, version }) => version || commit.slice(0, 12));
  throw new AptOstreeError("NotFound", `cannot find ${revision} in ${refspec}: its newest are ${known.join(", ") || "none"}`, { details: { known } });
}

/** The commit that a revision stands for in the history of a ref. Throws NotFound and InvalidRequest. */
export async function findRevision(paths: Pick<Paths, "repo">, refspec: string, revision: string): Promise<string> {
  return pickRevision(await historyOf(paths, refspec), refspec, revision);
}
