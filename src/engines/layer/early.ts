/**
 * Importing a layer's files while its packages are still being configured: once everything is unpacked, most files will not
 * change any more, and a second core is idle. The import reads a tree of hardlinks, so that nothing vanishes under its hands;
 * what it brought is used only where it is provably what is there in the end: same path, same inode, no change of status
 * since the import began. The rest is committed as ever.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { exec } from "../exec.ts";
import { pathInside } from "../inside.ts";
import { ostreeRepo } from "../ostree/ostree.ts";
import { dropRef, earlyRef } from "../ostree/refs.ts";
import type { Paths } from "../paths.ts";
import { removeTree } from "../tree.ts";
import { RESIDUE } from "./check.ts";
import type { UpperScan } from "./upper.ts";

/** Files that need not be committed again. */
export interface EarlyFiles {
  /** A commit that holds them, and perhaps more that the final tree lays over. */
  readonly commit: string;
  /** Relative to the upper directory. */
  readonly paths: readonly string[];
}

/** Changed by nearly every configuration: dpkg's database and configuration files. */
const CONFIGURED = ["etc", "usr/etc", "usr/lib/sysimage"];
/** The kernel stamps files with a clock that ticks every few milliseconds, so a stamp may lie that much in the past. */
const CLOCK_TICK_MS = 20;

interface Imported {
  readonly commit: string;
  /** Type and inode number ("f1234") of everything in the commit, by path. */
  readonly inodes: ReadonlyMap<string, string>;
  readonly beganMs: number;
  /** What the wall clock was ahead of the monotonic one: a clock that was set meanwhile proves nothing. */
  readonly clockMs: number;
}

/** One early import, for one upper directory. */
export class EarlyImport {
  readonly #paths: Paths;
  readonly #upper: string;
  readonly #links: string;
  readonly #ref: string;
  readonly #signal: AbortSignal;
  /** Before anything was unpacked. */
  readonly #madeMs = Date.now() - CLOCK_TICK_MS;
  #running: Promise<Imported | null> | undefined;

  /** `scratch`: a directory on the file system of the upper one. */
  constructor(paths: Paths, runId: string, upper: string, scratch: string, signal: AbortSignal) {
    this.#paths = paths;
    this.#ref = earlyRef(runId);
    this.#upper = upper;
    this.#links = join(scratch, "early");
    this.#signal = signal;
  }

  /** Begins, once. To be called when everything is unpacked. */
  begin(): void {
    // Where it fails (a full disk, a whiteout in the tree) nothing is lost but time: the whole layer is committed at the end.
    this.#running ??= this.#import().catch(() => null);
  }

  /** Waits for the import; null where there was none or where it holds something that is not in the final tree. */
  async finish(scan: UpperScan): Promise<EarlyFiles | null> {
    const imported = await this.#running;
    if (imported === undefined || imported === null) return null;
    const last = new Map(scan.entries.map((entry) => [entry.path, entry]));
    const unchanged: string[] = [];
    if (Math.abs(clockOffsetMs() - imported.clockMs) > CLOCK_TICK_MS) return null;
    for (const [path, identity] of imported.inodes) {
      const entry = last.get(path);
      if (entry === undefined || (entry.type === "d") !== identity.startsWith("d")) return null;
      // dpkg gives files the old times of their archives. One with a new time was written here, and a mapped file can be written
      // once more without any new stamp (mmap(2)).
      const isOld = entry.modifiedS * 1000 < this.#madeMs && entry.changedS * 1000 < imported.beganMs;
      if (entry.type !== "d" && isOld && identity === `${entry.type}${entry.inode}`) unchanged.push(path);
    }
    return { commit: imported.commit, paths: unchanged };
  }

  /** Waits until nothing is imported any more and lets go of what was; the layer's own commit holds what it took. */
  async close(): Promise<void> {
    if ((await this.#running) !== undefined) await dropRef(this.#paths, this.#ref);
  }

  async #import(): Promise<Imported> {
    const options = { signal: this.#signal };
    await exec("cp", ["-al", "--no-target-directory", "--", this.#upper, this.#links], options);
    for (const name of [...CONFIGURED, ...RESIDUE]) {
      const path = await pathInside(this.#links, name);
      if (path !== null) await removeTree(path);
    }
    // Linking and unlinking stamped every file: what is stamped later than this was changed by somebody else.
    await sleep(2 * CLOCK_TICK_MS);
    const beganMs = Date.now() - CLOCK_TICK_MS;
    const clockMs = clockOffsetMs();
    const { stdout } = await exec("find", [this.#links, "-mindepth", "1", "-printf", "%y%i %P\\0"], options);
    const records = stdout.split("\0").filter((record) => record !== "");
    const inodes = new Map(records.map((record) => [record.slice(record.indexOf(" ") + 1), record.slice(0, record.indexOf(" "))]));
    // Held by a ref: anybody's prune (that of "ostree admin undeploy", say) would take an orphan.
    const args = ["commit", `--branch=${this.#ref}`, "--no-bindings", "--subject=early", `--tree=dir=${this.#links}`];
    return { commit: (await ostreeRepo(this.#paths, "import early", args, options)).trim(), inodes, beganMs, clockMs };
  }
}

function clockOffsetMs(): number {
  return Date.now() - performance.now();
}
