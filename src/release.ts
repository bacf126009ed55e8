/** The version of this program. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The version in the nearest package.json upwards, which is the program's own from `src` and from `dist` alike; "unknown" without one. */
export function release(): string {
  for (let directory = import.meta.dirname; ; directory = dirname(directory)) {
    const file = join(directory, "package.json");
    if (existsSync(file)) return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
    if (dirname(directory) === directory) return "unknown";
  }
}
