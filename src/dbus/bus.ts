/**
 * A connection to a message bus: the only importer of dbus-next, of which only the low-level layer is used, because its
 * exported interfaces cannot see their caller, let read-only properties be written and can end the process.
 */
import dbus from "dbus-next";
import { AptOstreeError } from "../model/errors.ts";
import { busAddresses } from "./address.ts";
import { guardStream, type RefusedCall } from "./guard.ts";
import {
  ALLOW_INTERACTIVE_AUTHORIZATION,
  type Library,
  type LibraryBus,
  type LibraryMessage,
  NO_AUTO_START,
  NO_REPLY_EXPECTED,
  SIGNAL,
} from "./library.ts";
import { type Call, type IncomingCall, type IncomingSignal, RemoteError } from "./message.ts";
import { checkBody } from "./values.ts";

const library = dbus as unknown as Library;

/** The bus itself, as a peer (D-Bus specification, "Message Bus Messages"). */
export const DRIVER = { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" } as const;
const DEFAULT_TIMEOUT_MS = 25_000;
const CLOSE_TIMEOUT_MS = 1000;
const DO_NOT_QUEUE = 4;
const PRIMARY_OWNER = 1;
const ALREADY_OWNER = 4;

/** What a connection can be tuned with. */
export interface BusOptions {
  readonly connectTimeoutMs?: number;
  /** Calls beyond this number wait here: a bus refuses a connection more than 128 open calls (dbus-daemon(1)). */
  readonly maxOpenCalls?: number;
}

/** A value with its type, to be sent as "v". */
export function variant(signature: string, value: unknown): unknown {
  return new library.Variant(signature, value);
}

/**
 * One connection. It is open until `closed` resolves (with null after `close`, with the reason when the bus went away); from
 * then on every call, pending or new, fails with Unavailable. It never reconnects: its owner makes a new one.
 */
export class Bus {
  /** Our unique name. */
  readonly name: string;
  readonly closed: Promise<AptOstreeError | null>;
  readonly #raw: LibraryBus;
  readonly #maxOpenCalls: number;
  /** Rejects the calls that wait for an answer; the library never would. */
  readonly #open = new Set<(error: AptOstreeError) => void>();
  readonly #waiting: (() => void)[] = [];
  readonly #matches = new Map<string, { users: number; added: Promise<unknown> }>();
  readonly #signalListeners = new Set<(signal: IncomingSignal) => void>();
  #openCalls = 0;
  #closing = false;
  #ended: AptOstreeError | null | undefined;

  private constructor(raw: LibraryBus, name: string, options: BusOptions) {
    this.#raw = raw;
    this.name = name;
    this.#maxOpenCalls = options.maxOpenCalls ?? Number.POSITIVE_INFINITY;
    let reason: unknown;
    // Also emitted for messages that cannot be read, which any peer can send: only the end of the stream is the end.
    raw.on("error", (error: unknown) => {
      reason = error;
    });
    raw.on("message", (message: LibraryMessage) => this.#onMessage(message));
    this.closed = new Promise((resolve) => {
      raw._connection.stream.once("close", () => {
        this.#ended = this.#closing
          ? null
          : new AptOstreeError("Unavailable", `cannot talk to the bus: ${textOf(reason, "it closed the connection")}`);
        for (const reject of [...this.#open]) reject(this.#endedError());
        resolve(this.#ended);
      });
    });
  }

  /** Connects to an address or to "system". Throws Unavailable, InvalidRequest. */
  static async connect(address: string, options: BusOptions = {}): Promise<Bus> {
    const failures: string[] = [];
    for (const busAddress of busAddresses(address)) {
      try {
        const raw = await connectRaw(busAddress, options.connectTimeoutMs ?? 10_000);
        return new Bus(raw, raw.name ?? "", options);
      } catch (error) {
        // A bus hangs up on users it does not let in.
        const hungUp = ["EPIPE", "ECONNRESET"].includes(String((error as NodeJS.ErrnoException).code));
        failures.push(hungUp ? "it does not let this user in" : textOf(error, "it is not there"));
      }
    }
    throw new AptOstreeError("Unavailable", `cannot connect to the bus at ${address}: ${failures.join("; ")}`);
  }

  /** Calls a method and gives its answer, without variants. Throws RemoteError for an error reply, Unavailable for a closed bus or a deadline. */
  async call(call: Call): Promise<readonly unknown[]> {
    const signature = call.signature ?? "";
    const body = call.body ?? [];
    checkBody(signature, body);
    if (this.#openCalls >= this.#maxOpenCalls) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#openCalls++;
    try {
      const flags = (call.autoStart === true ? 0 : NO_AUTO_START) | (call.interactive === true ? ALLOW_INTERACTIVE_AUTHORIZATION : 0);
      const { destination, path, member } = call;
      const message = new library.Message({ destination, path, interface: call.interface, member, signature, body, flags });
      return await this.#exchange(message, call);
    } finally {
      const next = this.#waiting.shift();
      // The place of a finished call is handed on, so that nobody overtakes those who wait.
      if (next === undefined) this.#openCalls--;
      else next();
    }
  }

  #exchange(message: LibraryMessage, call: Call): Promise<readonly unknown[]> {
    if (this.#ended !== undefined || this.#closing) throw this.#endedError();
    const timeoutMs = call.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    return new Promise((resolve, reject) => {
      const settle = (action: () => void): void => {
        clearTimeout(timer);
        this.#open.delete(abandon);
        action();
      };
      const abandon = (error: AptOstreeError): void => {
        // An answer that comes after all finds nobody, and nothing is kept for it.
        delete this.#raw._methodReturnHandlers[message.serial];
        settle(() => reject(error));
      };
      const timer = setTimeout(
        () => abandon(new AptOstreeError("Unavailable", `cannot call ${call.member} of ${call.destination}: no answer within ${timeoutMs / 1000} s`)),
        timeoutMs,
      );
      this.#open.add(abandon);
      this.#raw.call(message).then(
        (reply) => settle(() => resolve(reply.body.map(plain))),
        (error: unknown) => settle(() => reject(this.#callError(error))),
      );
    });
  }

  /** Serves method calls with `handler`, which must not throw, until the returned function is called. */
  serve(handler: (call: IncomingCall) => void): () => void {
    const onCall = (message: LibraryMessage): boolean => {
      handler(this.#incoming(message));
      return true;
    };
    this.#raw.addMethodHandler(onCall);
    return () => this.#raw.removeMethodHandler(onCall);
  }

  /** Sends a signal to everyone who asked for it. Throws TypeError for values that do not fit, Unavailable on a closed bus. */
  emit(path: string, iface: string, member: string, signature: string, body: readonly unknown[]): void {
    checkBody(signature, body);
    this.#send(library.Message.newSignal(path, iface, member, signature, body));
  }

  /** Hears every signal that some match rule of ours lets through, until the returned function is called. The listener must not throw. */
  onSignal(listener: (signal: IncomingSignal) => void): () => void {
    this.#signalListeners.add(listener);
    return () => this.#signalListeners.delete(listener);
  }

  /** Asks the bus for the signals of a match rule; equal rules share one. The returned function gives it up. */
  async addMatch(rule: string): Promise<() => Promise<void>> {
    let match = this.#matches.get(rule);
    if (match === undefined) {
      match = { users: 0, added: this.call({ ...DRIVER, member: "AddMatch", signature: "s", body: [rule] }) };
      this.#matches.set(rule, match);
    }
    const held = match;
    held.users++;
    try {
      await held.added;
    } catch (error) {
      if (this.#matches.get(rule) === held) this.#matches.delete(rule);
      throw error;
    }
    let released = false;
    return async () => {
      if (released) return;
      released = true;
      held.users--;
      if (held.users > 0 || this.#matches.get(rule) !== held) return;
      this.#matches.delete(rule);
      if (this.#ended === undefined && !this.#closing) await this.call({ ...DRIVER, member: "RemoveMatch", signature: "s", body: [rule] });
    };
  }

  /** Becomes the owner of a well-known name. Throws AlreadyRunning with the owner's pid, NotAuthorized where the bus's policy forbids it. */
  async requestName(name: string): Promise<void> {
    let answer: unknown;
    try {
      [answer] = await this.call({ ...DRIVER, member: "RequestName", signature: "su", body: [name, DO_NOT_QUEUE] });
    } catch (error) {
      if (!(error instanceof RemoteError)) throw error;
      throw new AptOstreeError("NotAuthorized", `cannot own the name ${name}: ${error.message}`, { cause: error });
    }
    if (answer === PRIMARY_OWNER || answer === ALREADY_OWNER) return;
    const pid = await this.#pidOf(name);
    const who = pid === null ? "another process" : `process ${pid}`;
    throw new AptOstreeError("AlreadyRunning", `cannot own the name ${name}: ${who} on this bus has it`, { details: { name, pid } });
  }

  /** Gives a well-known name up. */
  async releaseName(name: string): Promise<void> {
    await this.call({ ...DRIVER, member: "ReleaseName", signature: "s", body: [name] });
  }

  /** The unique name of a name's owner, or null. */
  async ownerOf(name: string): Promise<string | null> {
    try {
      const [owner] = await this.call({ ...DRIVER, member: "GetNameOwner", signature: "s", body: [name] });
      return owner as string;
    } catch (error) {
      if (error instanceof RemoteError && error.errorName === "org.freedesktop.DBus.Error.NameHasNoOwner") return null;
      throw error;
    }
  }

  /** Closes the connection after what was sent has left. Does nothing the second time. */
  async close(): Promise<void> {
    const { stream } = this.#raw._connection;
    this.#closing = true;
    stream.end();
    const timer = setTimeout(() => stream.destroy(), CLOSE_TIMEOUT_MS);
    await this.closed;
    clearTimeout(timer);
  }

  async #pidOf(name: string): Promise<number | null> {
    try {
      const [pid] = await this.call({ ...DRIVER, member: "GetConnectionUnixProcessID", signature: "s", body: [name] });
      return pid as number;
    } catch (error) {
      // The owner may be gone again, or the bus may not know.
      if (error instanceof RemoteError) return null;
      throw error;
    }
  }

  #onMessage(message: LibraryMessage): void {
    if (message.type !== SIGNAL || message.interface === undefined) return;
    const { sender, path, member } = message;
    const signal = { sender, path, interface: message.interface, member, body: message.body.map(plain) };
    for (const listener of [...this.#signalListeners]) listener(signal);
  }

  #incoming(message: LibraryMessage): IncomingCall {
    const { sender, path, member, signature, body, flags } = message;
    const wanted = (flags & NO_REPLY_EXPECTED) === 0;
    return {
      sender,
      path,
      interface: message.interface,
      member,
      signature,
      body: body.map(plain),
      interactive: (flags & ALLOW_INTERACTIVE_AUTHORIZATION) !== 0,
      reply: (replySignature, values) => {
        checkBody(replySignature, values);
        if (wanted) this.#send(library.Message.newMethodReturn(message, replySignature, values));
      },
      fail: (name, text) => {
        if (wanted) this.#send(library.Message.newError(message, name, text.replaceAll("\0", "")));
      },
    };
  }

  #send(message: LibraryMessage): void {
    if (this.#ended !== undefined || this.#closing) throw this.#endedError();
    this.#raw.send(message);
  }

  #endedError(): AptOstreeError {
    return this.#ended ?? new AptOstreeError("Unavailable", "cannot talk to the bus: the connection is closed");
  }

  #callError(error: unknown): Error {
    const remote = error as { type?: unknown; text?: unknown };
    if (typeof remote.type === "string") return new RemoteError(remote.type, String(remote.text));
    return this.#ended === undefined && !this.#closing ? (error as Error) : this.#endedError();
  }
}

/** Opens a connection and waits for the bus to greet us. */
function connectRaw(busAddress: string, timeoutMs: number): Promise<LibraryBus> {
  return new Promise((resolve, reject) => {
    // Only EXTERNAL: the library's cookie method throws in a callback where a bus refuses us.
    const raw = library.sessionBus({ busAddress, authMethods: ["EXTERNAL"] });
    const connection = raw._connection;
    let settled = false;
    const settle = (error?: unknown): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      connection.off("message", onRefused);
      connection.stream.off("close", onClose);
      if (error === undefined) resolve(raw);
      else {
        connection.stream.destroy();
        reject(error);
      }
    };
    const onClose = (): void => settle(new Error("it does not let this user in"));
    // A refused Hello would end the process: the library throws where nobody can catch, so its handler is taken away.
    const onRefused = (message: LibraryMessage & { errorName?: string }): void => {
      if (message.errorName === undefined || message.replySerial === undefined) return;
      delete raw._methodReturnHandlers[message.replySerial];
      settle(new Error(String(message.body[0] ?? message.errorName)));
    };
    const timer = setTimeout(() => settle(new Error(`no greeting within ${timeoutMs / 1000} s`)), timeoutMs);
    // Stays for the life of the connection: an "error" without a listener is thrown.
    raw.on("error", settle);
    connection.prependListener("message", onRefused);
    connection.prependOnceListener("connect", () => guardStream(connection.stream, (call) => refuse(raw, call)));
    connection.stream.once("close", onClose);
    raw.once("connect", () => settle());
  });
}

/** Answers a call that was not let through. */
function refuse(raw: LibraryBus, call: RefusedCall): void {
  if ((call.flags & NO_REPLY_EXPECTED) !== 0) return;
  raw.send(library.Message.newError(call, "org.freedesktop.DBus.Error.LimitsExceeded", "cannot take the call: it is too long"));
}

/** A value without its variants, at any depth. */
function plain(value: unknown): unknown {
  if (value instanceof library.Variant) return plain(value.value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null && !Buffer.isBuffer(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, held]) => [key, plain(held)]));
  }
  return value;
}

function textOf(error: unknown, otherwise: string): string {
  return error instanceof Error && error.message !== "" ? error.message : otherwise;
}
