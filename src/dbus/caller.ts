/** Who a unique bus name is, as the bus vouches for it. */
import { AptOstreeError } from "../model/errors.ts";
import { type Bus, DRIVER } from "./bus.ts";
import { RemoteError } from "./message.ts";

/** The user and process behind a connection, as they were when it was made. */
export interface Credentials {
  readonly uid: number;
  readonly pid: number;
}

/** Departures only: a unique name is never used again, so what is known of it stays true until then. */
const DEPARTURES = `type='signal',sender='${DRIVER.destination}',interface='${DRIVER.interface}',member='NameOwnerChanged',arg2=''`;

/** Asks the bus who its callers are and remembers the answers until the callers leave; in use from `start` to `close`. */
export class Callers {
  readonly #bus: Bus;
  readonly #known = new Map<string, Promise<Credentials>>();
  readonly #onLeft = new Set<(sender: string) => void>();
  readonly #stop: (() => unknown)[] = [];

  private constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Starts listening for departures. */
  static async start(bus: Bus): Promise<Callers> {
    const callers = new Callers(bus);
    callers.#stop.push(
      bus.onSignal((signal) => {
        if (signal.sender === DRIVER.destination && signal.member === "NameOwnerChanged") callers.#left(String(signal.body[0]));
      }),
      await bus.addMatch(DEPARTURES),
    );
    return callers;
  }

  /** How many callers are remembered. */
  get size(): number {
    return this.#known.size;
  }

  /** The credentials of a unique name. Throws NotAuthorized where the bus does not know them. */
  async of(sender: string): Promise<Credentials> {
    let credentials = this.#known.get(sender);
    if (credentials === undefined) {
      credentials = this.#ask(sender);
      this.#known.set(sender, credentials);
    }
    try {
      return await credentials;
    } catch (error) {
      this.#known.delete(sender);
      throw error;
    }
  }

  /** Hears the unique name of everyone who leaves the bus, until `close`. */
  onLeft(listener: (sender: string) => void): void {
    this.#onLeft.add(listener);
  }

  /** Forgets everyone. */
  async close(): Promise<void> {
    this.#known.clear();
    this.#onLeft.clear();
    for (const stop of this.#stop) await stop();
  }

  #left(name: string): void {
    this.#known.delete(name);
    for (const listener of this.#onLeft) listener(name);
  }

  async #ask(sender: string): Promise<Credentials> {
    const unknown = (cause?: unknown): AptOstreeError =>
      new AptOstreeError("NotAuthorized", `cannot serve ${sender}: the bus does not say which user it is`, { cause });
    try {
      const [answer] = await this.#bus.call({ ...DRIVER, member: "GetConnectionCredentials", signature: "s", body: [sender] });
      const { UnixUserID: uid, ProcessID: pid } = answer as { UnixUserID?: number; ProcessID?: number };
      if (uid === undefined) throw unknown();
      return { uid, pid: pid ?? 0 };
    } catch (error) {
      throw error instanceof RemoteError ? unknown(error) : error;
    }
  }
}
