/** Whether the fast path made the tree that the slow ones make. */
import type { SandboxHost } from "../../src/sandbox/host.ts";
import { INNER_BENCH, INNER_REPO } from "./places.ts";

/** The root of a commit: checksums of its directory tree and of its directory's metadata (ostree-ls(1)). */
async function rootOf(host: SandboxHost, repo: string, commit: string): Promise<string> {
  const { stdout } = await host.exec("ostree", [`--repo=${repo}`, "ls", "-d", "-C", commit, "/"]);
  return (/[0-9a-f]{64} [0-9a-f]{64}/.exec(stdout) ?? [""])[0];
}

/** The root checksums of a commit as it is, and of the same tree written out as plain files and committed without any shortcut. */
export async function compareRoots(host: SandboxHost, commit: string): Promise<{ fast: string; slow: string; equal: boolean }> {
  const tree = `${INNER_BENCH}/slow`;
  await host.exec("ostree", [`--repo=${INNER_REPO}`, "checkout", "--force-copy", commit, tree]);
  const { stdout } = await host.exec("ostree", [`--repo=${INNER_REPO}`, "commit", "--orphan", "-s", "slow", `--tree=dir=${tree}`]);
  await host.exec("rm", ["-rf", "--one-file-system", tree]);
  const [fast, slow] = [await rootOf(host, INNER_REPO, commit), await rootOf(host, INNER_REPO, stdout.trim())];
  return { fast, slow, equal: fast !== "" && fast === slow };
}

/** Every path of a commit with type, mode, owner, size or target, and checksum. */
export async function listTree(host: SandboxHost, repo: string, commit: string): Promise<Map<string, string>> {
  const { stdout } = await host.exec("ostree", [`--repo=${repo}`, "ls", "-R", "-C", commit], { maxOutputBytes: 256 * 1024 * 1024 });
  const paths = new Map<string, string>();
  for (const line of stdout.split("\n")) {
    const match = /^(\S+ +\d+ +\d+) +(\d+) (.*?)(\/.*)$/.exec(line);
    if (match === null) continue;
    const [, head = "", size = "", checksums = "", path = ""] = match;
    // A directory's checksums only repeat those of what it holds.
    const directory = head.startsWith("d");
    paths.set(path, directory ? head : `${head} ${size} ${checksums.trim()}`);
  }
  return paths;
}

/** The paths that are not the same in both, sorted. */
export function differingPaths(one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): string[] {
  const names = new Set([...one.keys(), ...other.keys()]);
  return [...names].filter((name) => one.get(name) !== other.get(name)).sort();
}
