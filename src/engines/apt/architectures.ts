/**
 * Foreign architectures (dpkg(1), `--add-architecture`). apt learns them from its configuration, which is the running system's, or from
 * dpkg, which it cannot ask where it only plans; then it is told what the base's dpkg knows.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Archive } from "../../model/plan.ts";
import { DPKG_ADMIN_DIR } from "../dpkg.ts";
import type { AptConfig } from "./config.ts";

/** The architectures of a base that has foreign ones, for apt; nothing where it has none. They add to those that are configured. */
export async function architectureConfig(baseTree: string): Promise<AptConfig> {
  const text = await readFile(join(baseTree, DPKG_ADMIN_DIR, "arch"), "utf8").catch(() => "");
  const names = text.split("\n").filter((name) => /^[a-z0-9][a-z0-9-]*$/.test(name));
  return names.length < 2 ? [] : names.map((name) => ["APT::Architectures::", name] as const);
}

/** The architectures that archives ("NAME_VERSION_ARCHITECTURE.deb") and local packages ("NAME:ARCHITECTURE=…") are for, sorted; without "all". */
export function architecturesOf(archives: readonly Archive[], locals: readonly string[]): string[] {
  const names = [
    ...archives.map(({ fileName }) => /_([a-z0-9][a-z0-9-]*)\.deb$/.exec(fileName)?.[1] ?? "all"),
    ...locals.map((local) => /^[^:]+:([a-z0-9][a-z0-9-]*)=/.exec(local)?.[1] ?? "all"),
  ];
  return [...new Set(names)].filter((name) => name !== "all").sort();
}
