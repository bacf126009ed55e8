/**
 * The part of dbus-next 0.10.2 that `bus.ts` uses, as it really behaves: the package's own types lack flags, have wrong
 * argument types and hide the connection, whose end the library does not tell of.
 */
import type { EventEmitter } from "node:events";
import type { Socket } from "node:net";

/** Message types of the D-Bus specification, "Message Format". */
export const METHOD_CALL = 1;
export const SIGNAL = 4;

/** Header flags of the D-Bus specification, "Message Format". */
export const NO_REPLY_EXPECTED = 1;
export const NO_AUTO_START = 2;
export const ALLOW_INTERACTIVE_AUTHORIZATION = 4;

/** What a message is made from. */
export interface MessageFields {
  readonly type?: number;
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly destination?: string;
  readonly signature?: string;
  readonly body?: readonly unknown[];
  readonly flags?: number;
}

/** A message, received or to be sent. */
export interface LibraryMessage {
  readonly type: number;
  readonly serial: number;
  readonly sender: string;
  readonly path: string;
  readonly interface: string | undefined;
  readonly member: string;
  readonly replySerial?: number;
  readonly signature: string;
  readonly body: readonly unknown[];
  readonly flags: number;
}

/** A value with its type: what "v" holds. */
export interface LibraryVariant {
  readonly signature: string;
  readonly value: unknown;
}

/** The library's connection: underscored members are used because there is no other way to see the socket or to forget a call. */
export interface LibraryBus extends EventEmitter {
  readonly name: string | null;
  readonly _connection: EventEmitter & { readonly stream: Socket };
  readonly _methodReturnHandlers: Record<number, unknown>;
  call(message: LibraryMessage): Promise<LibraryMessage>;
  send(message: LibraryMessage): void;
  addMethodHandler(handler: (message: LibraryMessage) => boolean): void;
  removeMethodHandler(handler: (message: LibraryMessage) => boolean): void;
}

/** The module itself. */
export interface Library {
  sessionBus(options: { readonly busAddress: string; readonly authMethods: readonly string[] }): LibraryBus;
  readonly Message: {
    new (fields: MessageFields): LibraryMessage;
    newMethodReturn(call: LibraryMessage, signature: string, body: readonly unknown[]): LibraryMessage;
    newError(call: Pick<LibraryMessage, "serial" | "sender">, name: string, text: string): LibraryMessage;
    newSignal(path: string, iface: string, member: string, signature: string, body: readonly unknown[]): LibraryMessage;
  };
  readonly Variant: new (signature: string, value: unknown) => LibraryVariant;
}
