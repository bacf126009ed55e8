/** Following one transaction: from its first message to its end, whenever one attaches, whichever daemon serves it. */
import { AptOstreeError } from "../model/errors.ts";
import { type Estimate, isFinal, type RunMessage, type TransactionView } from "../model/transaction.ts";
import type { Bus } from "./bus.ts";
import { TRANSACTION } from "./interfaces.ts";
import type { IncomingSignal } from "./message.ts";
import { PROPERTIES } from "./standard.ts";
import { BUS_NAME, transactionPath } from "./wire.ts";

/**
 * What a follower sees. `message`: each message once, in order. `changed`: state, position and the like; also the first thing
 * that is told. `progress`: more of the work is done. `lost`: the daemon went away; either `resumed` follows, when a new
 * one serves the transaction, or the iteration ends with Unavailable. `finished`: the end, once, after every message.
 */
export type FollowEvent =
  | { readonly kind: "message"; readonly message: RunMessage; readonly view: TransactionView }
  | { readonly kind: "progress" | "changed" | "resumed" | "finished"; readonly view: TransactionView }
  | { readonly kind: "lost" };

/** What a follower needs of the client. */
export interface Followed {
  readonly bus: Bus;
  readonly client: {
    transaction(id: string): Promise<TransactionView>;
    messages(id: string, after: number): Promise<RunMessage[]>;
  };
  /** The daemon's unique name, or null while there is none. */
  readonly owner: () => string | null;
  readonly onOwnerChange: (listener: () => void) => () => void;
  /** How long to wait for a new daemon, in milliseconds. */
  readonly patienceMs: number;
}

/** Properties that every progress signal repeats, and the estimate, which comes with its values: no reason to read the transaction again. */
const PROGRESS_PROPERTIES = new Set(["Percent", "Text"]);
const ESTIMATE_PROPERTIES = new Set(["EtaP50Ms", "EtaP90Ms"]);

/** How much later than a failed call the news that the daemon left may come. */
const OWNER_NEWS_MS = 1000;

/** What wakes a follower: a signal of the transaction, or a change of the daemon. */
type Occurrence = { readonly signal: IncomingSignal } | "owner" | "closed";

/** Occurrences in order, for one reader. */
class Inbox {
  readonly #occurrences: Occurrence[] = [];
  #wake: (() => void) | null = null;

  put(occurrence: Occurrence): void {
    this.#occurrences.push(occurrence);
    this.#wake?.();
  }

  clear(): void {
    this.#occurrences.length = 0;
  }

  /** The next occurrence, or null when none came in time. */
  async take(timeoutMs?: number): Promise<Occurrence | null> {
    if (this.#occurrences.length === 0) {
      await new Promise<void>((resolve) => {
        const timer = timeoutMs === undefined ? undefined : setTimeout(resolve, timeoutMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
    return this.#occurrences.shift() ?? null;
  }
}

/** Follows a transaction. It subscribes before it looks, so nothing falls between. Throws NotFound, Unavailable. */
export async function* followTransaction(followed: Followed, id: string): AsyncGenerator<FollowEvent, void, undefined> {
  const { bus, owner } = followed;
  const inbox = new Inbox();
  const path = transactionPath(id);
  const stops: (() => unknown)[] = [
    // Any program may send us signals of that path; only those of the daemon count.
    bus.onSignal((signal) => {
      if (signal.path === path && signal.sender === owner()) inbox.put({ signal });
    }),
    followed.onOwnerChange(() => inbox.put("owner")),
  ];
  let stopped = false;
  void bus.closed.then(() => {
    if (!stopped) inbox.put("closed");
  });
  try {
    stops.push(await bus.addMatch(`type='signal',sender='${BUS_NAME}',path='${path}'`));
    yield* new Follower(followed, id, inbox).run();
  } finally {
    stopped = true;
    for (const stop of stops) await stop();
  }
}

/** One iteration: what has been told so far, and what to tell next. */
class Follower {
  readonly #followed: Followed;
  readonly #id: string;
  readonly #inbox: Inbox;
  #lastSeq = 0;
  #daemon: string | null = null;

  constructor(followed: Followed, id: string, inbox: Inbox) {
    this.#followed = followed;
    this.#id = id;
    this.#inbox = inbox;
  }

  async *run(): AsyncGenerator<FollowEvent, void, undefined> {
    for (let attempt = 0; ; attempt++) {
      try {
        this.#daemon = this.#followed.owner();
        if (this.#daemon !== null) {
          yield* this.#watch(attempt === 0 ? "changed" : "resumed");
          return;
        }
      } catch (error) {
        if (!(error instanceof AptOstreeError && error.code === "Unavailable") || !(await this.#hasLeft(error))) throw error;
      }
      yield { kind: "lost" };
      await this.#returned();
    }
  }

  /** Tells of the transaction as this daemon has it, until its end. Throws Unavailable when the daemon leaves. */
  async *#watch(first: "changed" | "resumed"): AsyncGenerator<FollowEvent, void, undefined> {
    let view = await this.#followed.client.transaction(this.#id);
    // After a restart the news comes first, then what was missed.
    yield { kind: first, view };
    yield* this.#messages(view);
    while (!isFinal(view.state)) {
      const occurrence = await this.#inbox.take();
      if (occurrence === "closed") throw left();
      if (occurrence === "owner" || occurrence === null) {
        if (this.#followed.owner() !== this.#daemon) throw left();
        continue;
      }
      const { interface: iface, member, body } = occurrence.signal;
      if (iface === PROPERTIES.name && member === "PropertiesChanged") {
        const changed = body[1] as Readonly<Record<string, unknown>>;
        const names = Object.keys(changed);
        if (names.every((name) => PROGRESS_PROPERTIES.has(name) || ESTIMATE_PROPERTIES.has(name))) {
          view = { ...view, eta: estimateOf(changed, view.eta) };
          // With the others a progress signal follows, which tells all of it at once.
          if (names.every((name) => ESTIMATE_PROPERTIES.has(name))) yield { kind: "progress", view };
          continue;
        }
        view = await this.#followed.client.transaction(this.#id);
        if (!isFinal(view.state)) yield { kind: "changed", view };
      } else if (iface !== TRANSACTION.name) {
        // A standard signal of the object that says nothing about the transaction.
      } else if (member === "Progress") {
        const [percent, text, bytesDone, bytesTotal] = body as [number, string, bigint, bigint];
        // One that was sent before the transaction was last read is old.
        if (percent < view.progress.percent) continue;
        view = { ...view, progress: { percent, text, bytesDone: Number(bytesDone), bytesTotal: Number(bytesTotal) } };
        yield { kind: "progress", view };
      } else if (member === "Message") {
        yield* this.#message(view, body as [number, RunMessage["level"], string]);
      } else if (member === "Finished") {
        view = await this.#followed.client.transaction(this.#id);
      }
    }
    yield* this.#messages(view);
    yield { kind: "finished", view };
  }

  /** Tells a message that came as a signal, or, where it does not follow the last one, whatever the daemon has. */
  async *#message(view: TransactionView, [seq, level, text]: [number, RunMessage["level"], string]): AsyncGenerator<FollowEvent, void, undefined> {
    if (seq <= this.#lastSeq) return;
    if (seq !== this.#lastSeq + 1) {
      yield* this.#messages(view);
      return;
    }
    this.#lastSeq = seq;
    yield { kind: "message", message: { seq, atMs: Date.now(), level, text }, view };
  }

  async *#messages(view: TransactionView): AsyncGenerator<FollowEvent, void, undefined> {
    for (const message of await this.#followed.client.messages(this.#id, this.#lastSeq)) {
      this.#lastSeq = message.seq;
      yield { kind: "message", message, view };
    }
  }

  /** Whether an Unavailable means that the daemon went; the bus may tell us so a moment after a call has failed. */
  async #hasLeft(error: AptOstreeError): Promise<boolean> {
    if (this.#followed.owner() !== this.#daemon) return true;
    if (error.details.dbusError === undefined) return false;
    await this.#ownerChange(OWNER_NEWS_MS);
    return this.#followed.owner() !== this.#daemon;
  }

  #ownerChange(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        stop();
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      const stop = this.#followed.onOwnerChange(done);
    });
  }

  /** Waits until there is a daemon. Throws Unavailable when there is none in time. */
  async #returned(): Promise<void> {
    const deadline = Date.now() + this.#followed.patienceMs;
    while (this.#followed.owner() === null) {
      const left = deadline - Date.now();
      if (left <= 0) {
        const seconds = Math.round(this.#followed.patienceMs / 1000);
        throw new AptOstreeError(
          "Unavailable",
          `cannot follow transaction ${this.#id}: apt-ostreed went away and did not come back within ${seconds} s`,
        );
      }
      if ((await this.#inbox.take(left)) === "closed")
        throw new AptOstreeError("Unavailable", `cannot follow transaction ${this.#id}: the connection to the bus is closed`);
    }
    // Signals of the daemon that left are of no interest any more.
    this.#inbox.clear();
  }
}

/** The estimate after a change of its properties, of which one alone may have changed; 0 stands for unknown. */
function estimateOf(changed: Readonly<Record<string, unknown>>, before: Estimate | null): Estimate | null {
  const p50Ms = Number(changed.EtaP50Ms ?? before?.p50Ms ?? 0);
  const p90Ms = Number(changed.EtaP90Ms ?? before?.p90Ms ?? 0);
  return p50Ms === 0 && p90Ms === 0 ? null : { p50Ms, p90Ms };
}

function left(): AptOstreeError {
  return new AptOstreeError("Unavailable", "cannot talk to apt-ostreed: it went away");
}
