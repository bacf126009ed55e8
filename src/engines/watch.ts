/** Noticing that somebody else (`ostree admin`, a finalisation) changed the sysroot. */
import { type FSWatcher, watch } from "node:fs";
import { join } from "node:path";
import type { Paths } from "./paths.ts";

const SETTLE_MS = 300;

/**
 * Calls back once things have been quiet for a moment. libostree touches `ostree/deploy` after every change
 * (_ostree_sysroot_bump_mtime); a staged deployment shows in `/run/ostree`.
 */
export function watchSysroot(paths: Paths, changed: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const settle = (): void => {
    clearTimeout(timer);
    timer = setTimeout(changed, SETTLE_MS);
  };
  const watchers: FSWatcher[] = [watch(join(paths.repo, "../deploy"), settle)];
  if (paths.sysroot === "/") watchers.push(watch("/run", (_, name) => (name === "ostree" || name === null ? settle() : undefined)));
  return () => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
}
