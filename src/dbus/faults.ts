/** Errors as they cross the bus: the standard names, our own names, and nothing that tells of the inside. */
import { AptOstreeError, ERROR_PREFIX, type ErrorCode, isErrorCode, toErrorValue } from "../model/errors.ts";
import { RemoteError } from "./message.ts";

const STANDARD = "org.freedesktop.DBus.Error.";
/** Longer texts are cut: an error is for a person. */
const MAX_TEXT = 16 * 1024;

/** The standard errors the server answers with; the name is completed with `org.freedesktop.DBus.Error.`. */
export type StandardError =
  | "InvalidArgs"
  | "UnknownMethod"
  | "UnknownInterface"
  | "UnknownObject"
  | "UnknownProperty"
  | "PropertyReadOnly"
  | "FileNotFound"
  | "LimitsExceeded";

/** A fault of the call itself, to be answered with a standard name. */
export class ProtocolError extends Error {
  readonly errorName: string;

  constructor(name: StandardError, message: string) {
    super(message);
    this.name = "ProtocolError";
    this.errorName = `${STANDARD}${name}`;
  }
}

/** The name and text to answer with for whatever was thrown; `isBug` where the log needs the rest. */
export function faultOf(thrown: unknown): { readonly name: string; readonly text: string; readonly isBug: boolean } {
  if (thrown instanceof ProtocolError) return { name: thrown.errorName, text: thrown.message, isBug: false };
  if (thrown instanceof AptOstreeError && thrown.code !== "Internal") {
    return { name: ERROR_PREFIX + thrown.code, text: thrown.message.slice(0, MAX_TEXT), isBug: false };
  }
  if (thrown instanceof Error && !(thrown instanceof AptOstreeError) && toErrorValue(thrown).code === "NoSpace") {
    return { name: `${ERROR_PREFIX}NoSpace`, text: "cannot answer the call: a file system of the daemon is full", isBug: true };
  }
  return { name: `${ERROR_PREFIX}Internal`, text: "internal error: the log of apt-ostreed has the details", isBug: true };
}

const TRANSLATED: Readonly<Record<string, ErrorCode>> = {
  ServiceUnknown: "Unavailable",
  NameHasNoOwner: "Unavailable",
  NoReply: "Unavailable",
  Timeout: "Unavailable",
  TimedOut: "Unavailable",
  Disconnected: "Unavailable",
  LimitsExceeded: "Unavailable",
  AccessDenied: "NotAuthorized",
  AuthFailed: "NotAuthorized",
  InvalidArgs: "InvalidRequest",
  UnknownObject: "NotFound",
};

/** The error that a peer's answer stands for, on the client's side. */
export function fromRemote(thrown: unknown, doing: string): unknown {
  if (!(thrown instanceof RemoteError)) return thrown;
  if (thrown.errorName.startsWith(ERROR_PREFIX)) {
    const code = thrown.errorName.slice(ERROR_PREFIX.length);
    return new AptOstreeError(isErrorCode(code) ? code : "Internal", thrown.message);
  }
  const name = thrown.errorName.startsWith(STANDARD) ? thrown.errorName.slice(STANDARD.length) : thrown.errorName;
  const code = TRANSLATED[name] ?? (name.startsWith("Spawn.") ? "Unavailable" : "Internal");
  return new AptOstreeError(code, `cannot ${doing}: ${thrown.message}`, { details: { dbusError: thrown.errorName } });
}
