/** Facts about commits. Commits never change, so each fact is read once. */
import { AptOstreeError } from "../../model/errors.ts";
import type { InstalledPackage } from "../../model/plan.ts";
import type { Paths } from "../paths.ts";
import { ostreeGpg, ostreeRepo } from "./ostree.ts";

/** Metadata keys that our commits carry besides ostree's own. */
export const METADATA = {
  /** "NAME:ARCHITECTURE=VERSION", blank between them: what dpkg has in the tree beyond the base. */
  layered: "apt-ostree.layered",
  baseCommit: "apt-ostree.base-commit",
  layerKey: "apt-ostree.layer-key",
} as const;

/** What is known of a commit. */
export interface CommitFacts {
  readonly version: string;
  readonly timestampS: number;
  readonly layered: readonly InstalledPackage[];
}

const MAX_REMEMBERED = 64;

/** Reads facts of commits, each once. */
export class Commits {
  readonly #paths: Pick<Paths, "repo">;
  readonly #facts = new Map<string, Promise<CommitFacts>>();

  constructor(paths: Pick<Paths, "repo">) {
    this.#paths = paths;
  }

  /** The facts of a commit. Throws NotFound where the repository does not have it. */
  facts(commit: string): Promise<CommitFacts> {
    const known = this.#facts.get(commit);
    if (known !== undefined) return known;
    const reading = this.#read(commit);
    this.#facts.set(commit, reading);
    reading.catch(() => this.#facts.delete(commit));
    const oldest = this.#facts.keys().next().value;
    if (this.#facts.size > MAX_REMEMBERED && oldest !== undefined) this.#facts.delete(oldest);
    return reading;
  }

  /** The commit a ref or refspec stands for now, or null where there is no such ref. */
  async resolve(refspec: string): Promise<string | null> {
    try {
      return (await ostreeRepo(this.#paths, `resolve ${refspec}`, ["rev-parse", refspec])).trim();
    } catch (error) {
      if (error instanceof AptOstreeError && error.code === "NotFound") return null;
      throw error;
    }
  }

  async #read(commit: string): Promise<CommitFacts> {
    const text = await ostreeGpg(this.#paths, `read commit ${commit}`, ["show", commit]);
    const date = /^Date:\s+(.+)$/m.exec(text)?.[1] ?? "";
    const version = /^Version:\s+(.+)$/m.exec(text)?.[1] ?? "";
    const layered = await commitMetadata(this.#paths, commit, METADATA.layered);
    return {
      version,
      timestampS: Math.floor(Date.parse(date) / 1000) || 0,
      layered: parseLayered(layered),
    };
  }
}

/** A metadata string of a commit, or empty where it has no such key. Throws Internal where the commit cannot be read. */
export async function commitMetadata(paths: Pick<Paths, "repo">, commit: string, key: string): Promise<string> {
  try {
    return unquoteVariant((await ostreeRepo(paths, `read commit ${commit}`, ["show", `--print-metadata-key=${key}`, commit])).trim());
  } catch (error) {
    if (error instanceof AptOstreeError && error.code === "NotFound") return "";
    throw error;
  }
}

/** Packages as the metadata has them: short, as one argument of a command line holds 128 KiB. */
export function formatLayered(packages: readonly InstalledPackage[]): string {
  return packages.map(({ name, architecture, version }) => `${name}:${architecture}=${version}`).join(" ");
}

function parseLayered(text: string): InstalledPackage[] {
  return [...text.matchAll(/(\S+?):(\S+?)=(\S+)/g)].map(([, name = "", architecture = "", version = ""]) => ({ name, architecture, version }));
}

/** The string that a GVariant text literal stands for (GLib, "GVariant Text Format", strings). */
export function unquoteVariant(literal: string): string {
  const quote = literal[0];
  if ((quote !== "'" && quote !== '"') || literal.at(-1) !== quote) return literal;
  return literal.slice(1, -1).replace(/\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/g, (_, code: string) => {
    if (code.length > 1) return String.fromCodePoint(Number.parseInt(code.slice(1), 16));
    return { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", v: "\v", a: "\x07" }[code] ?? code;
  });
}
