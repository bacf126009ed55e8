/**
 * The two trees. Both begin as the same commit written out, and both are looked at as their next boot leaves them: /etc in its place,
 * accounts of sysusers.d(5) made, /var filled by tmpfiles.d(5). Between these, one has nothing done to it but `apt-get install`.
 */
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../../src/engines/exec.ts";
import { removeTree } from "../../src/engines/tree.ts";
import type { FidelityHost } from "./host.ts";

/** Makes trees on the host's file system. */
export class Trees {
  readonly #host: FidelityHost;
  readonly #signal: AbortSignal;
  readonly #timeoutMs: number;

  constructor(host: FidelityHost, signal: AbortSignal, timeoutMs: number) {
    this.#host = host;
    this.#signal = signal;
    this.#timeoutMs = timeoutMs;
  }

  /** The layer's commit as its first boot leaves it. Whatever was in the directory goes. */
  async layered(commit: string, tree: string): Promise<void> {
    await this.#write(commit, tree);
    await this.#boot(tree);
  }

  /** The base as its first boot leaves it, the packages installed by plain apt-get from the daemon's lists and archives, and booted once more. */
  async plain(packages: readonly string[], tree: string): Promise<void> {
    await this.#write("base", tree);
    await this.#boot(tree);
    await writeFile(join(tree, POLICY), "#!/bin/sh\nexit 101\n", { mode: 0o755 });
    await this.#install(packages, tree);
    await rm(join(tree, POLICY));
    await this.#boot(tree);
  }

  async #write(commit: string, tree: string): Promise<void> {
    await removeTree(tree);
    await this.#host.checkout(commit, tree);
    await rename(join(tree, "usr/etc"), join(tree, "etc"));
  }

  async #boot(tree: string): Promise<void> {
    await this.#in(tree, [], ["sh", "-c", BOOT]);
  }

  async #install(packages: readonly string[], tree: string): Promise<void> {
    const { lists, archives } = this.#host.downloads;
    const binds = ["--ro-bind", lists, "/var/lib/apt/lists", "--ro-bind", archives, "/var/cache/apt/archives"];
    // Both directories are the daemon's, where apt may take no lock.
    await this.#in(tree, binds, ["apt-get", "install", "--yes", "-q", "--no-download", "-o", "Debug::NoLocking=true", "--", ...packages]);
  }

  /** A chroot with the usual file systems. bubblewrap(1) makes it, so that no script reaches the machine's processes, devices and network. */
  async #in(tree: string, binds: readonly string[], command: readonly string[]): Promise<void> {
    const mounts = [
      "--bind",
      tree,
      "/",
      "--proc",
      "/proc",
      "--dev",
      "/dev",
      "--perms",
      "1777",
      "--tmpfs",
      "/dev/shm",
      "--tmpfs",
      "/run",
      "--tmpfs",
      "/sys",
      "--perms",
      "1777",
      "--tmpfs",
      "/tmp",
    ];
    const namespaces = [
      "--unshare-pid",
      "--unshare-ipc",
      "--unshare-uts",
      "--hostname",
      HOSTNAME,
      "--unshare-net",
      "--die-with-parent",
      "--cap-add",
      "ALL",
      "--clearenv",
    ];
    const env = Object.entries(ENVIRONMENT).flatMap(([name, value]) => ["--setenv", name, value]);
    await exec("bwrap", [...mounts, ...binds, ...namespaces, ...env, "--chdir", "/", "--", ...command], {
      signal: this.#signal,
      timeoutMs: this.#timeoutMs,
    });
  }
}

/** Of the host that layers: some packages write it into their configuration. */
const HOSTNAME = "sandbox";
const POLICY = "usr/sbin/policy-rc.d";

const ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
  HOME: "/root",
  LC_ALL: "C.UTF-8",
  DEBIAN_FRONTEND: "noninteractive",
};

/** What systemd does early in every boot, as far as it makes files. A line that cannot be carried out is a warning there, too. */
const BOOT =
  "systemd-sysusers >/dev/null 2>&1 || true; systemd-tmpfiles --create --boot --exclude-prefix=/dev --exclude-prefix=/proc --exclude-prefix=/sys >/dev/null 2>&1 || true";
