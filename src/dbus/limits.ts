/**
 * How often one client may read: a bucket of tokens for each connection. A person, a window or a watcher never comes near the limit;
 * a program that asks in a loop must not keep the others waiting, nor may it be refused for what is only its haste.
 */
import { ProtocolError } from "./faults.ts";

/** Calls a second: a hundred times what a window that redraws its state needs, and some 3 % of what the daemon can answer. */
const RATE_PER_S = 200;
/** Calls at once: a client that starts reads every transaction it shows, of which there are a hundred objects with their properties. */
const BURST = 400;
/** Calls that wait for a token; a system bus lets a connection have 128 open ones (dbus-daemon(1), max_replies_per_connection). */
const MAX_QUEUED = 256;
/** How often those that wait are looked at, so that there is a timer for a handful of calls and not for each. */
const TICK_MS = 20;

interface Bucket {
  tokens: number;
  filledMs: number;
  readonly queue: { readonly go: () => void; readonly refuse: (error: ProtocolError) => void }[];
  timer: NodeJS.Timeout | null;
}

/** The buckets of all clients; no timer runs while nobody waits. */
export class ReadingLimits {
  readonly #buckets = new Map<string, Bucket>();
  readonly #ratePerS: number;

  constructor(ratePerS = RATE_PER_S) {
    this.#ratePerS = ratePerS;
  }

  /** How many clients have a bucket. */
  get size(): number {
    return this.#buckets.size;
  }

  /** How many calls wait for a token. */
  get queued(): number {
    return [...this.#buckets.values()].reduce((sum, { queue }) => sum + queue.length, 0);
  }

  /** Takes a token; false where there is none. */
  take(client: string): boolean {
    const bucket = this.#filled(client);
    if (bucket.queue.length > 0 || bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  /** Null where there is a token, else a promise that resolves when it is this call's turn, and rejects with LimitsExceeded where too many wait. */
  turn(client: string): Promise<void> | null {
    if (this.take(client)) return null;
    const bucket = this.#filled(client);
    if (bucket.queue.length >= MAX_QUEUED)
      return Promise.reject(new ProtocolError("LimitsExceeded", `cannot take the call: ${MAX_QUEUED} calls of this client wait already`));
    return new Promise((go, refuse) => {
      bucket.queue.push({ go, refuse });
      bucket.timer ??= setTimeout(() => this.#tick(bucket), TICK_MS);
    });
  }

  /** Forgets a client that has left: what it still wanted is not looked up. */
  drop(client: string): void {
    const bucket = this.#buckets.get(client);
    if (bucket === undefined) return;
    this.#buckets.delete(client);
    clearTimeout(bucket.timer ?? undefined);
    for (const { refuse } of bucket.queue.splice(0)) refuse(new ProtocolError("LimitsExceeded", "cannot answer the call: its client has left"));
  }

  /** Lets everyone through who waits. */
  close(): void {
    for (const bucket of this.#buckets.values()) {
      clearTimeout(bucket.timer ?? undefined);
      for (const { go } of bucket.queue.splice(0)) go();
    }
    this.#buckets.clear();
  }

  #filled(client: string): Bucket {
    const bucket = this.#buckets.get(client) ?? { tokens: BURST, filledMs: performance.now(), queue: [], timer: null };
    this.#buckets.set(client, bucket);
    this.#fill(bucket);
    return bucket;
  }

  #tick(bucket: Bucket): void {
    bucket.timer = null;
    this.#fill(bucket);
    for (; bucket.tokens >= 1 && bucket.queue.length > 0; bucket.tokens -= 1) bucket.queue.shift()?.go();
    if (bucket.queue.length > 0) bucket.timer = setTimeout(() => this.#tick(bucket), TICK_MS);
  }

  #fill(bucket: Bucket): void {
    const nowMs = performance.now();
    bucket.tokens = Math.min(BURST, bucket.tokens + ((nowMs - bucket.filledMs) * this.#ratePerS) / 1000);
    bucket.filledMs = nowMs;
  }
}
