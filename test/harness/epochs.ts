/**
 * Answers of a daemon held against the history of epochs. Readers never wait, so nothing but this says that they read sense: what was
 * answered under an epoch is the one state that was published as that epoch, and nobody is shown an older one than anybody was shown
 * before he asked, whoever writes meanwhile and however often the daemon is killed.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { DaemonClient, type DaemonStatus } from "../../src/dbus/client.ts";
import { AptOstreeError, type ErrorCode } from "../../src/model/errors.ts";

/** How long a poller of a daemon that is away waits before it asks again. */
const RETRY_MS = 50;
/** What a poller is told while the daemon is away or goes. */
const AWAY: readonly ErrorCode[] = ["Unavailable", "Timeout"];

/** What was answered, as far as it must agree. */
export class EpochHistory {
  /** The text of the state that was published as each epoch. */
  readonly #published = new Map<number, string>();
  readonly violations: string[] = [];
  #latest = 0;
  #answers = 0;

  /** How many answers were looked at. */
  get answers(): number {
    return this.#answers;
  }

  /** How many different epochs were seen. */
  get epochs(): number {
    return this.#published.size;
  }

  /** A question is asked now: what its answer is held against. */
  asks(): (answer: Pick<DaemonStatus, "snapshot" | "transactions"> & { readonly staleMs?: number }) => void {
    const leastEpoch = this.#latest;
    return ({ snapshot, transactions, staleMs = 0 }) => {
      this.#answers += 1;
      const { epoch } = snapshot;
      const text = JSON.stringify(snapshot);
      const before = this.#published.get(epoch);
      if (before === undefined) this.#published.set(epoch, text);
      else if (before !== text) this.violations.push(`epoch ${epoch} was answered as ${before} and as ${text}`);
      // An answer that says that it is old may be.
      if (staleMs === 0 && epoch < leastEpoch) this.violations.push(`epoch ${epoch} was answered to one who asked after ${leastEpoch} had been`);
      for (const { id, epoch: its } of transactions)
        if (its !== epoch) this.violations.push(`transaction ${id} of epoch ${its} was answered with a state of epoch ${epoch}`);
      this.#latest = Math.max(this.#latest, epoch);
    };
  }
}

/** Asks a daemon again and again until it is over, half of the time for what comes next; a daemon that is away is asked again. */
export async function pollEpochs(
  bus: string,
  history: EpochHistory,
  options: { readonly everyMs: number; readonly isOver: () => boolean },
): Promise<void> {
  const { everyMs, isOver } = options;
  let client: DaemonClient | null = null;
  let epoch = 0;
  for (let turn = 0; !isOver(); turn += 1) {
    const answered = history.asks();
    try {
      client ??= await DaemonClient.connect(bus);
      const status = turn % 2 === 0 ? await client.status() : await client.waitStatus(epoch, everyMs);
      answered(status);
      epoch = status.snapshot.epoch;
      await sleep(everyMs);
    } catch (error) {
      if (!(error instanceof AptOstreeError) || !AWAY.includes(error.code)) throw error;
      await sleep(RETRY_MS);
    }
  }
  await client?.close();
}
