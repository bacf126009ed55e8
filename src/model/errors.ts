/**
 * The closed set of errors a caller can meet. One table maps each code to its D-Bus name and to the exit status of the
 * command line; `test/unit/errors.test.ts` holds the documentation in `README.md` and the API file to it.
 */

/** D-Bus error names are this prefix and the code. */
export const ERROR_PREFIX = "org.debian.aptostree1.Error.";

/** What each code means, in one sentence, and the exit status `apt-ostree` ends with. */
export const ERRORS = {
  InvalidRequest: { exitStatus: 2, meaning: "The request is malformed: a bad name, option or combination." },
  UnknownPackage: { exitStatus: 1, meaning: "No configured source has a package of that name; all such names are listed." },
  Unsatisfiable: { exitStatus: 1, meaning: "apt found no set of packages that satisfies the request; its reasons are in the message." },
  NotInstalled: { exitStatus: 1, meaning: "A package to uninstall is not among the requested ones." },
  ProtectedPackage: { exitStatus: 1, meaning: "The plan would remove or replace a package of the base." },
  DownloadFailed: { exitStatus: 1, meaning: "Something could not be fetched from its source." },
  VerificationFailed: { exitStatus: 1, meaning: "Something fetched does not have the size, hash or signature it should." },
  NoSpace: { exitStatus: 1, meaning: "A file system is full, or would be." },
  ScriptFailed: { exitStatus: 1, meaning: "dpkg or a maintainer script failed while the tree was assembled." },
  Timeout: { exitStatus: 1, meaning: "A stage made no progress for too long, or lasted too long, and was stopped." },
  LayerInvalid: { exitStatus: 1, meaning: "The assembled tree holds what a deployment cannot hold." },
  DeployFailed: { exitStatus: 1, meaning: "ostree could not write the deployment; the old ones are untouched." },
  Conflict: { exitStatus: 1, meaning: "The sysroot changed underneath the transaction, or two requests exclude each other." },
  Busy: { exitStatus: 1, meaning: "Another transaction or program holds what is needed, and the caller did not want to wait." },
  Cancelled: { exitStatus: 1, meaning: "The transaction was cancelled before its point of no return." },
  TooLate: { exitStatus: 1, meaning: "The transaction is past its point of no return and can no longer be cancelled." },
  NotFound: { exitStatus: 1, meaning: "There is no such transaction, deployment, ref or file." },
  NotAuthorized: { exitStatus: 1, meaning: "The caller may not do this." },
  AlreadyRunning: { exitStatus: 1, meaning: "Another daemon already serves this sysroot or bus name." },
  Unavailable: { exitStatus: 1, meaning: "The daemon cannot be reached on the bus." },
  ConfigInvalid: { exitStatus: 1, meaning: "A configuration or tree file cannot be read or has a wrong value." },
  JournalCorrupt: { exitStatus: 1, meaning: "The journal is damaged; it was set aside and its state rebuilt from the sysroot." },
  JournalTooNew: { exitStatus: 1, meaning: "A newer apt-ostree wrote the journal in a way that this one cannot read." },
  Internal: { exitStatus: 1, meaning: "A bug in apt-ostree; the daemon's log has the details." },
} as const satisfies Record<string, { exitStatus: number; meaning: string }>;

/** One of the closed set of error codes. */
export type ErrorCode = keyof typeof ERRORS;

/** What crosses the bus and the journal instead of an `Error` object (XState persists those as `{}`). */
export interface ErrorValue {
  readonly code: ErrorCode;
  /** "cannot …: …", lower case, no full stop, naming the thing. */
  readonly message: string;
  /** Facts for programs: package names, paths, holder; JSON values only. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The only error type that callers inspect; anything else that is thrown is a bug and becomes `Internal`. */
export class AptOstreeError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: { details?: Readonly<Record<string, unknown>>; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AptOstreeError";
    this.code = code;
    this.details = options.details ?? {};
  }

  /** The plain value of this error. */
  toValue(): ErrorValue {
    return { code: this.code, message: bounded(this.message), details: this.details };
  }
}

const MAX_MESSAGE_LENGTH = 4000;

/** Messages cross the bus and stay in the journal; whatever a child printed into them, they end somewhere. */
function bounded(message: string): string {
  return message.length <= MAX_MESSAGE_LENGTH ? message : `${message.slice(0, MAX_MESSAGE_LENGTH)}…`;
}

/** Whether a string is one of the codes (for values that come from the bus or the journal). */
export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(ERRORS, value);
}

/** Turns whatever was thrown into an `ErrorValue`: a full disk is recognised wherever it shows, a bug becomes `Internal`. */
export function toErrorValue(thrown: unknown): ErrorValue {
  if (thrown instanceof AptOstreeError) return thrown.toValue();
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (isNoSpace(thrown)) return { code: "NoSpace", message: `cannot write: ${message}` };
  return { code: "Internal", message: `internal error: ${message}` };
}

/** The `Error` that an `ErrorValue` stands for. */
export function fromErrorValue(value: ErrorValue): AptOstreeError {
  return new AptOstreeError(value.code, value.message, value.details === undefined ? {} : { details: value.details });
}

function isNoSpace(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown } | null)?.code;
  return code === "ENOSPC" || code === "EDQUOT" || code === "SQLITE_FULL";
}
