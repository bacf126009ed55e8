/**
 * Taking away what a run made without deleting it. ext4 does not use an inode again for a minute after its file was deleted, and looks
 * at each of them whenever a file is made near by (`recently_deleted` in fs/ext4/ialloc.c): ten thousand deleted files make the next
 * ten thousand cost seconds. So files are moved aside, and everything is deleted in the end; whole trees are made far from each other, in case there is no room to keep them.
 */
import { mkdir, readdir, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { exec } from "../../src/engines/exec.ts";
import { STATEROOT } from "../../src/sandbox/layout.ts";
import { type BenchHost, INNER_OSTREE_RUN } from "./places.ts";

let buried = 0;

/** Makes a directory whose subdirectories ext4 puts far from each other (chattr(1), `T`); on other file systems just a directory. */
export async function makeSpreadDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await exec("chattr", ["+T", path], { okStatuses: [0, 1] });
}

/** The names of all objects of a repository, with their directory: "ab/cdef.file". */
export async function listObjects(repo: string): Promise<Set<string>> {
  const names = new Set<string>();
  for (const directory of await readdir(join(repo, "objects")))
    for (const name of await readdir(join(repo, "objects", directory))) names.add(`${directory}/${name}`);
  return names;
}

/** Moves every object aside that is not among the given ones; `keepCommits` where deployments of them stay. */
export async function buryObjects(bench: BenchHost, repo: string, keep: ReadonlySet<string>, keepCommits: boolean): Promise<void> {
  const grave = await openGrave(bench);
  for (const name of await listObjects(repo)) {
    if (!keep.has(name) && !(keepCommits && name.endsWith(".commit"))) await rename(join(repo, "objects", name), join(grave, name.replace("/", "")));
  }
}

/** Takes a staged deployment away as `ostree admin undeploy` would. The daemon must not run. */
export async function buryStaged(bench: BenchHost): Promise<void> {
  const { host } = bench;
  await host.exec("rm", ["-f", ...["staged-deployment", "staged-deployment-locked"].map((name) => `${INNER_OSTREE_RUN}/${name}`)]);
  const deployments = join(host.layout.sysroot, "ostree/deploy", STATEROOT, "deploy");
  const booted = basename(await host.bootedDeployment());
  const grave = await openGrave(bench);
  for (const name of await readdir(deployments)) {
    if (name === booted || name === `${booted}.origin`) continue;
    if (!name.endsWith(".origin")) await exec("chattr", ["-i", join(deployments, name)]);
    await rename(join(deployments, name), join(grave, name));
  }
}

async function openGrave({ directory }: BenchHost): Promise<string> {
  buried += 1;
  const grave = join(directory, "graveyard", String(buried));
  await mkdir(grave, { recursive: true });
  return grave;
}
