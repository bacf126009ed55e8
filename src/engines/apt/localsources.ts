/** Package sources that are directories of the running system: `file:` and `copy:` (sources.list(5)). */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** The directories that the sources in an `/etc` name, sorted, each once. Reading on where a file cannot be read is apt's business. */
export async function localSourceDirs(runningEtc: string): Promise<string[]> {
  const apt = join(runningEtc, "apt");
  const parts = (await readdir(join(apt, "sources.list.d")).catch(() => [])).filter((name) => /\.(list|sources)$/.test(name));
  const texts = await Promise.all(
    ["sources.list", ...parts.map((name) => join("sources.list.d", name))].map((name) => readFile(join(apt, name), "utf8").catch(() => "")),
  );
  const found = texts.flatMap((text) =>
    text
      .split("\n")
      .filter((line) => !line.trimStart().startsWith("#"))
      .flatMap((line) => [...line.matchAll(/(?:^|\s)(?:file|copy):(?:\/\/)?(\/[^\s\]]+)/g)].map((match) => match[1] ?? "")),
  );
  return [...new Set(found.map((path) => path.replace(/(.)\/+$/, "$1")))].sort();
}
