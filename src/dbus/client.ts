/** The daemon as its clients see it: what the command line uses, and any other program of ours could. */
import { AptOstreeError } from "../model/errors.ts";
import type { ChangelogPart, PackageDiff, PackageSet, Revision, Why, WhyNot } from "../model/inspection.ts";
import type { Remote, RemoteRef, RemoteSettings } from "../model/remote.ts";
import type { RunMessage, TransactionView } from "../model/transaction.ts";
import type { LockReport, StatusView } from "../scheduler/api.ts";
import { startOwner } from "./activation.ts";
import { Bus, DRIVER } from "./bus.ts";
import { fromRemote } from "./faults.ts";
import { type FollowEvent, followTransaction } from "./follow.ts";
import { type Args, DATABASE, type InterfaceTable, MAIN, MANAGER, REMOTES, signatureOf } from "./interfaces.ts";
import { type IncomingSignal, RemoteError } from "./message.ts";
import { BUS_NAME, ROOT_PATH, type Submission } from "./wire.ts";

/** Below the 128 open calls that a system bus allows a connection. */
const MAX_OPEN_CALLS = 64;
/** One wait for a status, and how long its answer may take beyond it. */
const WAIT_PART_MS = 20_000;
const ANSWER_MS = 10_000;
const PATIENCE_MS = 60_000;
/** Questions that take a child or a remote to answer, and may have to wait for others'. */
const READING_MS = 300_000;
/** How soon a daemon that left is asked again where the bus says nothing new. */
const RETRY_MS = 1000;
/** The longest that the daemon may take to copy the files of a request. */
const KEEPING_MS = 600_000;
const OWNER_CHANGES = `type='signal',sender='${DRIVER.destination}',interface='${DRIVER.interface}',member='NameOwnerChanged',arg0='${BUS_NAME}'`;

export type { LockReport };

/** What `status` answers: the state of the system and the daemon's version. */
export interface DaemonStatus extends StatusView {
  readonly version: string;
  /** How old this is, in milliseconds; 0 unless we asked too often. */
  readonly staleMs: number;
}

/** How a client behaves. */
export interface ClientOptions {
  /** How long `follow` waits for a daemon that went away, in milliseconds; 60 s if absent. */
  readonly patienceMs?: number;
  /** How long a call may take, in milliseconds; 25 s if absent. */
  readonly callTimeoutMs?: number;
}

/**
 * A connection to the daemon. Errors of the daemon come out as the `AptOstreeError`s they were; a daemon that cannot be
 * reached is Unavailable.
 */
export class DaemonClient {
  readonly #bus: Bus;
  readonly #options: ClientOptions;
  readonly #ownerListeners = new Set<() => void>();
  #owner: string | null = null;

  private constructor(bus: Bus, options: ClientOptions) {
    this.#bus = bus;
    this.#options = options;
  }

  /** Connects to the daemon on a bus, given by address or as "system"; the bus starts it where it can. Throws Unavailable. */
  static async connect(address: string, options: ClientOptions = {}): Promise<DaemonClient> {
    const bus = await Bus.connect(address, { maxOpenCalls: MAX_OPEN_CALLS });
    const client = new DaemonClient(bus, options);
    try {
      bus.onSignal((signal) => client.#onOwnerChange(signal));
      await bus.addMatch(OWNER_CHANGES);
      client.#owner = (await bus.ownerOf(BUS_NAME)) ?? (await client.#start(address));
      return client;
    } catch (error) {
      await bus.close();
      throw error;
    }
  }

  /** The state of the system. */
  async status(): Promise<DaemonStatus> {
    return (await this.#json(MAIN, "Status", [])) as DaemonStatus;
  }

  /** The state of the system once its epoch is above a number, or after the timeout (at most 10 minutes). */
  async waitStatus(sinceEpoch: number, timeoutMs: number): Promise<DaemonStatus> {
    return (await this.#json(MANAGER, "WaitStatus", [sinceEpoch, timeoutMs], timeoutMs + ANSWER_MS)) as DaemonStatus;
  }

  /**
   * The state of the system once its epoch is above a number, however long that takes and however often the daemon is restarted
   * meanwhile. Throws Unavailable when it went away and did not come back in time.
   */
  async statusAfter(sinceEpoch: number): Promise<DaemonStatus> {
    let lostMs: number | null = null;
    for (;;) {
      try {
        const status = await this.waitStatus(sinceEpoch, WAIT_PART_MS);
        if (status.snapshot.epoch > sinceEpoch) return status;
        lostMs = null;
      } catch (error) {
        // Only the bus knows that a daemon left; when the bus itself did, there is nothing to come back to.
        if (!(error instanceof AptOstreeError && error.code === "Unavailable" && error.details.dbusError !== undefined)) throw error;
        lostMs ??= performance.now();
        if (performance.now() - lostMs > (this.#options.patienceMs ?? PATIENCE_MS)) throw error;
        await this.#ownerChange(RETRY_MS);
      }
    }
  }

  /** Asks for a change and gives the transaction's id. */
  async submit(submission: Submission): Promise<string> {
    // The daemon keeps copies of files before it answers.
    const timeoutMs = (submission.files ?? []).length > 0 ? KEEPING_MS : this.#options.callTimeoutMs;
    const [id] = await this.#call(MANAGER, "Submit", [JSON.stringify(submission)], true, timeoutMs);
    return id as string;
  }

  /** One transaction. Throws NotFound. */
  async transaction(id: string): Promise<TransactionView> {
    return (await this.#json(MANAGER, "GetTransaction", [id])) as TransactionView;
  }

  /** The newest transactions, newest first; at most 1000. */
  async transactions(limit: number): Promise<TransactionView[]> {
    return (await this.#json(MANAGER, "ListTransactions", [limit])) as TransactionView[];
  }

  /** All messages of a transaction after a number (0: from the start). Throws NotFound. */
  async messages(id: string, after: number): Promise<RunMessage[]> {
    const all: RunMessage[] = [];
    for (;;) {
      const part = (await this.#json(MANAGER, "GetMessages", [id, all.at(-1)?.seq ?? after])) as RunMessage[];
      all.push(...part);
      if (part.length === 0) return all;
    }
  }

  /** Ends our interest in a transaction. */
  async cancel(id: string): Promise<void> {
    await this.#call(MANAGER, "Cancel", [id], true);
  }

  /** The commit that a revision stands for. Throws NotFound, InvalidRequest, as the next four. */
  async revision(name: string): Promise<Revision> {
    return (await this.#json(DATABASE, "Revision", [name], READING_MS)) as Revision;
  }

  /** The packages of a revision. */
  async packages(revision: string): Promise<PackageSet> {
    return (await this.#json(DATABASE, "Packages", [revision], READING_MS)) as PackageSet;
  }

  /** The packages in which two revisions differ. */
  async packageDiff(from: string, to: string): Promise<PackageDiff> {
    return (await this.#json(DATABASE, "PackageDiff", [from, to], READING_MS)) as PackageDiff;
  }

  /** What the changelogs say of the packages that are newer in the second revision. */
  async changelogs(from: string, to: string): Promise<ChangelogPart[]> {
    return (await this.#json(DATABASE, "Changelogs", [from, to], READING_MS)) as ChangelogPart[];
  }

  /** Why a package is in a revision. */
  async why(spec: string, revision: string): Promise<Why> {
    return (await this.#json(DATABASE, "Why", [spec, revision], READING_MS)) as Why;
  }

  /** Why a package would be there if others were installed now. Throws what planning throws. */
  async whyPlanned(spec: string, wanted: readonly string[]): Promise<Why> {
    return (await this.#json(DATABASE, "WhyPlanned", [spec, wanted], READING_MS)) as Why;
  }

  /** Why a package is not there, and whether it could be. */
  async whyNot(spec: string): Promise<WhyNot> {
    return (await this.#json(DATABASE, "WhyNot", [spec], READING_MS)) as WhyNot;
  }

  /** The remotes, by name. */
  async remotes(): Promise<Remote[]> {
    return (await this.#json(REMOTES, "ListRemotes", [])) as Remote[];
  }

  /** The refs of a remote. Throws NotFound, DownloadFailed. */
  async remoteRefs(name: string): Promise<RemoteRef[]> {
    return (await this.#json(REMOTES, "RemoteRefs", [name], READING_MS)) as RemoteRef[];
  }

  /** Adds a remote. Throws Conflict, InvalidRequest. */
  async addRemote(name: string, settings: RemoteSettings): Promise<void> {
    await this.#call(REMOTES, "AddRemote", [name, JSON.stringify(settings)], true, READING_MS);
  }

  /** Changes a remote. Throws NotFound, Busy, InvalidRequest. */
  async modifyRemote(name: string, settings: RemoteSettings): Promise<void> {
    await this.#call(REMOTES, "ModifyRemote", [name, JSON.stringify(settings)], true, READING_MS);
  }

  /** Removes a remote. Throws NotFound, Busy, Conflict. */
  async deleteRemote(name: string, force: boolean): Promise<void> {
    await this.#call(REMOTES, "DeleteRemote", [name, force], true, READING_MS);
  }

  /** Has the sysroot read again and gives its epoch. */
  async reload(): Promise<number> {
    const [epoch] = await this.#call(MANAGER, "Reload", [], true);
    return Number(epoch);
  }

  /** What the daemon's locks look like now, and whether they kept their rules. */
  async lockReport(): Promise<LockReport> {
    return (await this.#json(MANAGER, "DebugLocks", [])) as LockReport;
  }

  /** What the daemon has measured of itself, as text for Prometheus. */
  async metrics(): Promise<string> {
    const [text] = await this.#call(MANAGER, "Metrics", []);
    return text as string;
  }

  /** Everything that happens to a transaction, from its first message to its end, also across restarts of the daemon. */
  follow(id: string): AsyncGenerator<FollowEvent, void, undefined> {
    return followTransaction(
      {
        bus: this.#bus,
        client: this,
        owner: () => this.#owner,
        onOwnerChange: (listener) => {
          this.#ownerListeners.add(listener);
          return () => this.#ownerListeners.delete(listener);
        },
        patienceMs: this.#options.patienceMs ?? PATIENCE_MS,
      },
      id,
    );
  }

  /** Closes the connection; iterations of `follow` that still run end with Unavailable. */
  async close(): Promise<void> {
    await this.#bus.close();
  }

  async #json(table: InterfaceTable, member: string, body: readonly unknown[], timeoutMs = this.#options.callTimeoutMs): Promise<unknown> {
    const [text] = await this.#call(table, member, body, false, timeoutMs);
    return JSON.parse(text as string);
  }

  async #call(
    table: InterfaceTable,
    member: string,
    body: readonly unknown[],
    interactive = false,
    timeoutMs = this.#options.callTimeoutMs,
  ): Promise<readonly unknown[]> {
    const signature = signatureOf(table.methods[member]?.in as Args);
    // A daemon that had nothing to do may have ended after we connected: the bus starts it again.
    const target = { destination: BUS_NAME, path: ROOT_PATH, interface: table.name, member, autoStart: true };
    try {
      return await this.#bus.call({ ...target, signature, body, interactive, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    } catch (error) {
      throw fromRemote(error, `ask apt-ostreed for ${member}`);
    }
  }

  /** Has the bus start the daemon. Throws Unavailable with what to do. */
  async #start(address: string): Promise<string> {
    let why = "it does not run there";
    try {
      await startOwner(this.#bus, BUS_NAME);
      const owner = await this.#bus.ownerOf(BUS_NAME);
      if (owner !== null) return owner;
    } catch (error) {
      if (!(error instanceof RemoteError)) throw error;
      // Where the bus knows how to start it, it failed to.
      if (error.errorName !== "org.freedesktop.DBus.Error.ServiceUnknown") why = `it cannot be started: ${error.message}`;
    }
    const hint = address === "system" ? 'start it with "systemctl start apt-ostreed"' : "start apt-ostreed with --bus and this address";
    throw new AptOstreeError("Unavailable", `cannot reach apt-ostreed on the bus ${address}: ${why}; ${hint}`);
  }

  /** Resolves when the daemon came or went, after the timeout in any case. */
  #ownerChange(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#ownerListeners.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#ownerListeners.add(done);
    });
  }

  #onOwnerChange(signal: IncomingSignal): void {
    if (signal.sender !== DRIVER.destination || signal.member !== "NameOwnerChanged" || signal.body[0] !== BUS_NAME) return;
    const owner = signal.body[2];
    this.#owner = typeof owner === "string" && owner !== "" ? owner : null;
    for (const listener of [...this.#ownerListeners]) listener();
  }
}
