/** What SQLite and the file system throw, as the errors that callers know. */
import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { AptOstreeError } from "../model/errors.ts";

/** SQLite maps ENOSPC to SQLITE_FULL for the database, but not for the shared-memory file: below this it is a full disk. */
const FULL_BELOW_BYTES = 256 * 1024;

/** Whether this says that the file is no sound database, as opposed to one that cannot be reached or written now. */
export function isDamage(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB";
}

/**
 * The error for something thrown while doing `what` ("open the journal") with the database at `path`: NoSpace, ConfigInvalid
 * (cannot be reached or written), Busy (another program holds it), JournalCorrupt, else Internal; an `AptOstreeError` as it is.
 */
export function failure(what: string, path: string, thrown: unknown): AptOstreeError {
  if (thrown instanceof AptOstreeError) return thrown;
  const code = codeOf(thrown);
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  const options = { details: { path, reason: code }, cause: thrown };
  const say = `cannot ${what} ${path}: ${reason}`;
  if (isFull(code, path)) return new AptOstreeError("NoSpace", `cannot ${what} ${path}: the file system is full`, options);
  if (isDamage(thrown)) return new AptOstreeError("JournalCorrupt", say, options);
  if (code.startsWith("SQLITE_BUSY") || code === "SQLITE_LOCKED") return new AptOstreeError("Busy", say, options);
  if (code.startsWith("SQLITE_READONLY") || code.startsWith("SQLITE_CANTOPEN") || code === "SQLITE_PERM" || isUnreachable(code))
    return new AptOstreeError("ConfigInvalid", say, options);
  return new AptOstreeError("Internal", say, options);
}

function codeOf(thrown: unknown): string {
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

function isFull(code: string, path: string): boolean {
  if (code === "SQLITE_FULL" || code === "ENOSPC" || code === "EDQUOT") return true;
  if (!code.startsWith("SQLITE_IOERR") && !code.startsWith("SQLITE_CANTOPEN")) return false;
  try {
    const { bavail, bsize } = statfsSync(dirname(path));
    return bavail * bsize < FULL_BELOW_BYTES;
  } catch {
    return false; // The directory itself is gone: that is what the first error says.
  }
}

function isUnreachable(code: string): boolean {
  return ["EACCES", "EPERM", "EROFS", "ENOTDIR", "ENOENT", "EISDIR", "EEXIST", "ELOOP", "ENAMETOOLONG"].includes(code);
}
