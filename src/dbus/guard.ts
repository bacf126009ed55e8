/**
 * A guard between the socket and dbus-next's parser, for what any peer may send and the parser cannot take: the type of a
 * file descriptor, which never comes with it, or a stream that ends inside a message makes it throw where nobody can catch,
 * and a long call or signal would be decoded at once, on the main thread, for a second.
 */
import type { Socket } from "node:net";
import { METHOD_CALL, SIGNAL } from "./library.ts";

/** No call of our interfaces is longer: 2000 packages of 256 bytes are half of it. */
const MAX_CALL_BYTES = 1024 * 1024;
/** Variants take a hundred times as long to decode as strings, and only a refused setting of a property has any. */
const MAX_VARIANT_CALL_BYTES = 16 * 1024;
const HEADER_BYTES = 16;
const LITTLE_ENDIAN = 0x6c;
const FIELD_DESTINATION = 6;
const FIELD_SENDER = 7;
const FIELD_SIGNATURE = 8;
const BUS_DRIVER = "org.freedesktop.DBus";
/** Where the parser looks file descriptors up: there is none, and it finds `undefined` at every index instead of throwing. */
const NO_DESCRIPTORS = { length: Number.POSITIVE_INFINITY };

/** A method call that was not let through because it is too long. */
export interface RefusedCall {
  readonly serial: number;
  readonly sender: string;
  readonly flags: number;
}

/** Lets only whole and harmless messages out of `stream.read`; calls that are kept back are told to `onRefused`. */
export function guardStream(stream: Socket, onRefused: (call: RefusedCall) => void): void {
  const read = stream.read.bind(stream) as (size?: number) => Buffer | null;
  let header: Buffer | null = null;
  let rest: Buffer | null = null;
  const whole = (size: number): Buffer | null => {
    const chunk = read(size);
    // A shorter one is what is left when the bus went away.
    return chunk !== null && chunk.length === size ? chunk : null;
  };
  stream.read = (size?: number): Buffer | null => {
    if (size === undefined || size === 0) return read(size);
    if (rest !== null) {
      const body = rest;
      rest = null;
      return body;
    }
    for (;;) {
      header ??= whole(HEADER_BYTES);
      if (header === null) return null;
      const following = whole(lengthAfter(header));
      if (following === null) return null;
      const first = header;
      header = null;
      const refused = refusal(first, following);
      if (refused === null) {
        rest = Object.assign(following, { fds: NO_DESCRIPTORS });
        return first;
      }
      if (refused.serial !== 0) onRefused(refused);
    }
  };
}

/** How many bytes of fields and body follow a header (D-Bus specification, "Message Format"). */
function lengthAfter(header: Buffer): number {
  return align(u32(header, 12, isLittle(header)), 8) + u32(header, 4, isLittle(header));
}

/** Why a message is kept back, or null. A serial of 0 stands for "drop it without a word". */
function refusal(header: Buffer, following: Buffer): RefusedCall | null {
  const type = header[1] ?? 0;
  const little = isLittle(header);
  if (type >= METHOD_CALL && type < SIGNAL && (type !== METHOD_CALL || u32(header, 4, little) <= MAX_VARIANT_CALL_BYTES)) return null;
  const fields = stringFields(following.subarray(0, u32(header, 12, little)), little);
  const sender = fields.get(FIELD_SENDER) ?? "";
  if (type === METHOD_CALL) {
    const limit = fields.get(FIELD_SIGNATURE)?.includes("v") ? MAX_VARIANT_CALL_BYTES : MAX_CALL_BYTES;
    return u32(header, 4, little) <= limit ? null : { serial: u32(header, 8, little), sender, flags: header[2] ?? 0 };
  }
  // A signal sent to us alone passes by our match rules; only the bus has any business with that. Unknown types are to be ignored.
  if (type === SIGNAL && (!fields.has(FIELD_DESTINATION) || sender === BUS_DRIVER)) return null;
  return { serial: 0, sender, flags: 0 };
}

/** The string-like header fields by their code. */
function stringFields(fields: Buffer, little: boolean): Map<number, string> {
  const found = new Map<number, string>();
  let at = 0;
  while (at + 4 <= fields.length) {
    const code = fields.readUInt8(at);
    const type = String.fromCharCode(fields.readUInt8(at + 2));
    // The code, and the signature as its length, one letter and NUL, take four bytes; the value follows at its own alignment.
    at += 4;
    if (type === "u") at += 4;
    else {
      const length = type === "g" ? fields.readUInt8(at) : u32(fields, at, little);
      at += type === "g" ? 1 : 4;
      found.set(code, fields.toString("utf8", at, at + length));
      at += length + 1;
    }
    at = align(at, 8);
  }
  return found;
}

function isLittle(header: Buffer): boolean {
  return header[0] === LITTLE_ENDIAN;
}

function u32(buffer: Buffer, at: number, little: boolean): number {
  return little ? buffer.readUInt32LE(at) : buffer.readUInt32BE(at);
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
