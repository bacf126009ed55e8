/**
 * What a layer is measured against: the same packages from the same archives and lists by plain apt-get in a plain chroot of the same
 * base on the same disk, and the naive way, which makes a commit and a deployment of such a chroot.
 */

import { statfs } from "node:fs/promises";
import { basename, join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { exec } from "../../src/engines/exec.ts";
import { removeTree } from "../../src/engines/tree.ts";
import { DEPLOYMENT_STATE } from "../../src/model/varstate.ts";
import { STATEROOT } from "../../src/sandbox/layout.ts";
import { createSysroot } from "../../src/sandbox/sysroot.ts";
import { buryObjects, listObjects } from "./graveyard.ts";
import { settle } from "./host.ts";
import { type BenchHost, INNER_BENCH, INNER_REPO } from "./places.ts";

/** The steps of the naive way, in order. */
export const NAIVE_STEPS = ["copy", "apt", "shape", "commit", "deploy"] as const;
export type NaiveTimes = Readonly<Record<(typeof NAIVE_STEPS)[number], number>>;

/** The largest set needs a tenth of this for each tree. */
const ROOM_BYTES = 16 * 1024 ** 3;
/** ext4 has forgotten deleted inodes then. */
const FORGETTING_MS = 65_000;

const NAIVE_SYSROOT = `${INNER_BENCH}/sysroot`;
const NAIVE_REPO = `${NAIVE_SYSROOT}/ostree/repo`;
const NAIVE_REF = "bench/naive";

/** A base commit as a plain Debian: /etc in its place, the dpkg database and its like in /var, services not to be started. */
const TO_DEBIAN = `set -eu; cd "$1"; shift
mv usr/etc etc
mkdir -p var/lib/apt/lists var/cache/apt proc dev run sys
[ -d tmp ] || mkdir -m 1777 tmp
mv usr/lib/sysimage/dpkg var/lib/dpkg
for path; do
  [ ! -e usr/lib/sysimage/var/$path ] || { mkdir -p "var/$(dirname "$path")"; mv "usr/lib/sysimage/var/$path" "var/$path"; }
done
chroot . systemd-tmpfiles --create --prefix=/var --prefix=/run >/dev/null 2>&1 || true
mkdir -p var/log/apt
printf '#!/bin/sh\\nexit 101\\n' >usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d`;

/** And back, as far as a deployment needs it. */
const TO_OSTREE = `set -eu; cd "$1"; shift
rm usr/sbin/policy-rc.d
mkdir -p usr/lib/sysimage/var
mv var/lib/dpkg usr/lib/sysimage/dpkg
for path; do
  if [ -e "var/$path" ] && ! [ -L "var/$path" ]; then mkdir -p "usr/lib/sysimage/var/$(dirname "$path")"; mv "var/$path" "usr/lib/sysimage/var/$path"; fi
done
find var run tmp -mindepth 1 -delete
mv etc usr/etc`;

/** Lists, archives and apt's binary caches are bound, not copied: neither way is charged for them. */
const IN_CHROOT = `set -e; root=$1
mount --bind "$2" "$root/var/lib/apt/lists"
mount --bind "$3" "$root/var/cache/apt"
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
shift 3
exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"`;

/** The chroots of a benchmark. */
export class Chroots {
  readonly #bench: BenchHost;
  readonly #template: string;
  /** The repository of the sysroot that the naive way deploys into, on this machine, and its objects before any of that. */
  readonly #naiveRepo: string;
  #naiveObjects: ReadonlySet<string> = new Set();
  readonly #copies: string[] = [];

  private constructor(bench: BenchHost) {
    this.#bench = bench;
    this.#template = join(bench.directory, "template");
    this.#naiveRepo = join(bench.directory, "sysroot/ostree/repo");
  }

  /** Makes the tree that others are copied from, and the sysroot that the naive way deploys into. Every archive must be there. */
  static async make(bench: BenchHost): Promise<Chroots> {
    const { host, directory, base } = bench;
    const chroots = new Chroots(bench);
    const state = join(host.layout.stateVar, "lib/apt-ostree");
    // The daemon's own files are left alone: apt wants to lock these directories.
    await exec("cp", ["-a", join(state, "lists/current/"), join(directory, "lists")]);
    await exec("mkdir", ["-p", join(directory, "cache")]);
    await exec("cp", ["-al", join(state, "archives"), join(directory, "cache/archives")]);
    await host.exec("ostree", [`--repo=${INNER_REPO}`, "checkout", "--force-copy", base.commit, `${INNER_BENCH}/template`]);
    await exec("sh", ["-c", TO_DEBIAN, "shape", chroots.#template, ...DEPLOYMENT_STATE]);
    await chroots.#run(chroots.#template, ["apt-cache", "gencaches"]);
    await createSysroot(join(directory, "sysroot"), { repo: bench.repo, ref: base.commit });
    chroots.#naiveObjects = await listObjects(chroots.#naiveRepo);
    return chroots;
  }

  /** What apt would install, itself included. Throws where it would change or remove what the base has. */
  async count(packages: readonly string[]): Promise<number> {
    const lines = (await this.#run(this.#template, ["apt-get", "install", "--simulate", ...packages])).split("\n");
    const others = lines.filter((line) => /^(Remv|Inst \S+ \[)/.test(line));
    if (others.length > 0)
      throw new Error(`cannot measure with ${packages.join(" ")}: apt would also change the base (compose a newer one): ${others.join("; ")}`);
    return lines.filter((line) => line.startsWith("Inst ")).length;
  }

  /** Plain apt-get; the time of it alone, in milliseconds, and the packages that dpkg has then. */
  async plain(packages: readonly string[]): Promise<{ tookMs: number; installed: string }> {
    const tree = await this.#copy();
    await settle();
    const tookMs = await timed(() => this.#install(tree, packages));
    const installed = await this.#run(tree, ["dpkg-query", "-W", "-f", "${Package} ${Architecture} ${Version}\\n"]);
    return { tookMs, installed };
  }

  /** The naive way: the time of each step, in milliseconds. `look` is called before the result is taken away again. */
  async naive(packages: readonly string[], look?: (repo: string, ref: string) => Promise<void>): Promise<NaiveTimes> {
    const { host } = this.#bench;
    let tree = "";
    await settle();
    const times: NaiveTimes = {
      copy: await timed(async () => {
        tree = await this.#copy();
      }),
      apt: await timed(() => this.#install(tree, packages)),
      shape: await timed(() => exec("sh", ["-c", TO_OSTREE, "shape", tree, ...DEPLOYMENT_STATE])),
      commit: await timed(() =>
        host.exec("ostree", [
          `--repo=${NAIVE_REPO}`,
          "commit",
          "-s",
          "naive",
          `--branch=${NAIVE_REF}`,
          `--tree=dir=${join(INNER_BENCH, basename(tree))}`,
        ]),
      ),
      deploy: await timed(() => this.#deploy(NAIVE_REF)),
    };
    await look?.(NAIVE_REPO, NAIVE_REF);
    await host.exec("ostree", [`--repo=${NAIVE_REPO}`, "refs", "--delete", NAIVE_REF]);
    await buryObjects(this.#bench, this.#naiveRepo, this.#naiveObjects, true);
    return times;
  }

  /** A bare deployment of the base into a sysroot that is not booted, where it is written at once; in milliseconds. */
  async deployBase(): Promise<number> {
    await settle();
    return await timed(() => this.#deploy(this.#bench.base.commit));
  }

  /** Older deployments all stay, as with our own. */
  async #deploy(commit: string): Promise<void> {
    await this.#bench.host.exec("ostree", ["admin", "deploy", `--sysroot=${NAIVE_SYSROOT}`, `--os=${STATEROOT}`, "--no-prune", "--retain", commit]);
  }

  async #install(tree: string, packages: readonly string[]): Promise<void> {
    await this.#run(tree, ["apt-get", "install", "--yes", "-q", "--no-download", ...packages]);
  }

  async #run(tree: string, command: readonly string[]): Promise<string> {
    const { directory } = this.#bench;
    const args = ["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "--", "sh", "-c", IN_CHROOT, "chroot"];
    return (await exec("unshare", [...args, tree, join(directory, "lists"), join(directory, "cache"), ...command])).stdout;
  }

  /** Older copies stay while there is room for them: see graveyard.ts. */
  async #copy(): Promise<string> {
    const { bavail, bsize } = await statfs(this.#bench.directory);
    if (bavail * bsize < ROOM_BYTES) await this.#removeCopies();
    const tree = join(this.#bench.directory, `tree-${this.#copies.length}-${Date.now()}`);
    this.#copies.push(tree);
    await exec("cp", ["-a", "--reflink=never", this.#template, tree]);
    return tree;
  }

  async #removeCopies(): Promise<void> {
    for (const tree of this.#copies) await removeTree(tree);
    await exec("sync", []);
    await sleep(FORGETTING_MS);
  }
}

/** How long it took, in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}
