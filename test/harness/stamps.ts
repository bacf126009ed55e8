/** The times at which a mirror says that its files were changed. */
import type { Stats } from "node:fs";

const SECOND_MS = 1000;

/**
 * HTTP tells times in whole seconds (RFC 9110, 5.6.7), so a file that is changed twice within one would look the same to who asks whether
 * it is newer, as apt does. Here each change is a second later than the one before.
 */
export class Stamps {
  readonly #known = new Map<string, { version: string; changedMs: number }>();

  /** When a file was changed, as the mirror tells it: milliseconds since 1970, whole seconds. */
  of(path: string, { size, mtimeMs, ino }: Pick<Stats, "size" | "mtimeMs" | "ino">): number {
    const version = [size, mtimeMs, ino].join();
    const known = this.#known.get(path);
    if (known?.version === version) return known.changedMs;
    const wholeMs = Math.floor(mtimeMs / SECOND_MS) * SECOND_MS;
    const changedMs = known === undefined ? wholeMs : Math.max(wholeMs, known.changedMs + SECOND_MS);
    this.#known.set(path, { version, changedMs });
    return changedMs;
  }
}
