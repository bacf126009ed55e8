/** The published snapshot: replaced as a whole, read by anybody at any time. */
import type { SysrootSnapshot } from "../model/sysroot.ts";
import type { Engines, Journal } from "./ports.ts";

/** Holds the current snapshot and reads a new one when something changed; readings never overlap. */
export class SnapshotHolder {
  readonly #engines: Engines;
  readonly #journal: Journal;
  readonly #published: (snapshot: SysrootSnapshot) => void;
  readonly #warnings: string[] = [];
  readonly #waiters = new Set<{ readonly epoch: number; readonly done: () => void }>();
  #current: SysrootSnapshot;
  #reading: Promise<SysrootSnapshot> = Promise.resolve(NOTHING);

  /** `published` is called after each change, with the new snapshot in place. */
  constructor(engines: Engines, journal: Journal, published: (snapshot: SysrootSnapshot) => void) {
    this.#engines = engines;
    this.#journal = journal;
    this.#published = published;
    this.#current = NOTHING;
  }

  /** The newest snapshot; never waits. */
  get current(): SysrootSnapshot {
    return this.#current;
  }

  /** Resolves as soon as the current epoch is above a number, and after the timeout or with the signal in any case. */
  async isAfter(epoch: number, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    if (this.#current.epoch > epoch || signal?.aborted === true) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      const waiter = { epoch, done };
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", done);
    });
  }

  /** A warning that every snapshot carries from the next reading on. */
  warn(text: string): void {
    if (!this.#warnings.includes(text)) this.#warnings.push(text);
  }

  /** Reads the sysroot; publishes under a new epoch where it is not as it was. Calls queue up, each reads after it was called. */
  refresh(): Promise<SysrootSnapshot> {
    const next = this.#reading.catch(() => NOTHING).then(() => this.#read());
    this.#reading = next;
    return next;
  }

  async #read(): Promise<SysrootSnapshot> {
    const read = { ...(await this.#engines.readSysroot()), warnings: [...this.#warnings] };
    if (this.#current !== NOTHING && isSame(read, this.#current)) return this.#current;
    const epoch = await this.#journal.nextEpoch();
    this.#publish({ ...read, epoch });
    return this.#current;
  }

  #publish(snapshot: SysrootSnapshot): void {
    this.#current = Object.freeze(snapshot);
    this.#published(this.#current);
    for (const waiter of [...this.#waiters]) if (snapshot.epoch > waiter.epoch) waiter.done();
  }
}

const NOTHING: SysrootSnapshot = { epoch: 0, readMs: 0, sysroot: "", booted: false, deployments: [], warnings: [] };

/** The time of reading is no difference. */
function isSame(a: Omit<SysrootSnapshot, "epoch">, b: SysrootSnapshot): boolean {
  const content = ({ deployments, booted, sysroot, warnings }: Omit<SysrootSnapshot, "epoch">) =>
    JSON.stringify([deployments, booted, sysroot, warnings]);
  return content(a) === content(b);
}
