/** The booted host whose daemon layers each set, one after the other, always on the bare base. */
import { mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { DaemonClient } from "../../src/dbus/client.ts";
import type { Submission } from "../../src/dbus/wire.ts";
import { exec } from "../../src/engines/exec.ts";
import { removeTree } from "../../src/engines/tree.ts";
import { AptOstreeError } from "../../src/model/errors.ts";
import type { TransactionResult } from "../../src/model/transaction.ts";
import { DAEMON_STATE, type SandboxHost } from "../../src/sandbox/host.ts";
import { makeTestHost, testBase } from "../harness/host.ts";

/** The host and a connection to its daemon. Removed by `close`. */
export class FidelityHost {
  readonly host: SandboxHost;
  readonly #client: DaemonClient;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal;
  /** A directory of its own where trees are made; removed by `close`. */
  readonly trees: string;

  private constructor(host: SandboxHost, client: DaemonClient, trees: string, timeoutMs: number, signal: AbortSignal) {
    this.host = host;
    this.#signal = signal;
    this.trees = trees;
    this.#client = client;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Boots a host of the base with the base's own package sources, and refreshes its lists. No transaction may take longer than
   * `timeoutMs`, and none goes on once the signal fires. Trees are made below `treesParent`, or beside the host where it is empty.
   */
  static async make(timeoutMs: number, treesParent: string, signal: AbortSignal): Promise<FidelityHost> {
    const host = await makeTestHost({ name: "fidelity", daemon: { config: { keepLayers: 0, installTimeoutSeconds: Math.ceil(timeoutMs / 1000) } } });
    try {
      const parent = treesParent === "" ? host.layout.directory : treesParent;
      await mkdir(parent, { recursive: true });
      const trees = await mkdtemp(join(parent, "trees-"));
      const fidelity = new FidelityHost(host, await DaemonClient.connect(host.bus), trees, timeoutMs, signal);
      await fidelity.#run({ kind: "refresh" });
      return fidelity;
    } catch (error) {
      await host.remove();
      throw error;
    }
  }

  /** The daemon's package lists and archives, on this machine. */
  get downloads(): { lists: string; archives: string } {
    const state = join(this.host.layout.stateVar, DAEMON_STATE.replace(/^\/var\//, ""));
    return { lists: join(state, "lists/current"), archives: join(state, "archives") };
  }

  /** Downloads all that a set needs. Throws what the transaction failed with. */
  async prefetch(packages: readonly string[]): Promise<void> {
    await this.#run({ kind: "prefetch", packages });
  }

  /** Layers a set; the commit of the layer. Throws what the transaction failed with. */
  async layer(packages: readonly string[]): Promise<string> {
    return (await this.#run({ kind: "install", packages })).commit;
  }

  /** Back to the bare base, with nothing of a layer left in the repository. */
  async forget(): Promise<void> {
    await this.#run({ kind: "cleanup", targets: ["pending"] });
  }

  /** Writes a commit out as plain files that share nothing with the repository; "base" is the base. */
  async checkout(commit: string, tree: string): Promise<void> {
    const repo = join(this.host.layout.sysroot, "ostree/repo");
    await exec("ostree", [`--repo=${repo}`, "checkout", "--force-copy", commit === "base" ? testBase().ref : commit, tree]);
  }

  /** Stops the host and removes it, or leaves its disk. */
  async close(keep: boolean): Promise<void> {
    await this.#client.close();
    if (!keep) await removeTree(this.trees);
    await (keep ? this.host.stop() : this.host.remove());
  }

  async #run(submission: Omit<Submission, "agent">): Promise<TransactionResult> {
    this.#signal.throwIfAborted();
    const id = await this.#client.submit({ ...submission, agent: "fidelity" });
    let late = false;
    const cancel = (): void => void this.#client.cancel(id).catch(ignoreEnded);
    const timer = setTimeout(() => {
      late = true;
      cancel();
    }, this.#timeoutMs);
    this.#signal.addEventListener("abort", cancel, { once: true });
    try {
      for await (const event of this.#client.follow(id)) {
        if (event.kind !== "finished") continue;
        const { state, title, error, result } = event.view;
        if (late) throw new AptOstreeError("Timeout", `cannot finish ${title}: it took longer than ${this.#timeoutMs / 1000} s`);
        if (state === "finished" && result !== null) return result;
        throw new AptOstreeError(error?.code ?? "Internal", error?.message ?? `internal error: ${title} ended as ${state} without a result`);
      }
      throw new AptOstreeError("Internal", `internal error: transaction ${id} has no end`);
    } finally {
      clearTimeout(timer);
      this.#signal.removeEventListener("abort", cancel);
    }
  }
}

/** It may have ended by itself just before. */
function ignoreEnded(error: unknown): void {
  if (!(error instanceof AptOstreeError)) throw error;
}
