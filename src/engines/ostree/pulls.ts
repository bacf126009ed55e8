/** Which remotes something is being pulled from right now: their configuration stays as it is meanwhile. */
import type { Paths } from "../paths.ts";

/** How many pulls there are, by repository and remote: of this process, as only the daemon of a sysroot pulls. */
const running = new Map<string, number>();

/** Whether a pull from a remote runs. */
export function isPulling(paths: Pick<Paths, "repo">, remote: string): boolean {
  return running.has(keyOf(paths, remote));
}

/** Does something that pulls. */
export async function whilePulling<T>(paths: Pick<Paths, "repo">, remote: string, pull: () => Promise<T>): Promise<T> {
  const key = keyOf(paths, remote);
  running.set(key, (running.get(key) ?? 0) + 1);
  try {
    return await pull();
  } finally {
    const left = (running.get(key) ?? 1) - 1;
    if (left > 0) running.set(key, left);
    else running.delete(key);
  }
}

function keyOf({ repo }: Pick<Paths, "repo">, remote: string): string {
  return `${remote}\0${repo}`;
}
