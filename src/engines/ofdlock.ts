/**
 * An exclusive lock on a file that the kernel gives back when we die: an open-file-description lock (fcntl(2), F_OFD_SETLK), the kind
 * that ostree uses. Node has no call for it, so a perl child sets it on a descriptor that it inherits; the lock belongs to the
 * description and stays with us when the child ends. Not to be held across children that inherit the descriptor; none of ours do.
 */
import { spawnSync } from "node:child_process";
import { closeSync, constants, existsSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { AptOstreeError } from "../model/errors.ts";

/** A lock that is held until it is released or we die. */
export interface OfdLock {
  /** Gives the lock back; the file stays, as removing it would let two holders lock two files. Once is enough. */
  release(): void;
}

const HELD = 3;
/** struct flock of 64-bit Linux: F_WRLCK, SEEK_SET, the whole file; 37 is F_OFD_SETLK, 11 and 13 are EAGAIN and EACCES. */
const LOCK_SCRIPT = `
  open(my $file, "+<&=", 3) or die "$!\\n";
  my $flock = pack("s s x4 q q l x4", 1, 0, 0, 0, 0);
  exit 0 if fcntl($file, 37, $flock);
  exit ${HELD} if $! == 11 or $! == 13;
  die "$!\\n";`;

/**
 * Locks `path`, creating it and its directory where they are missing, and writes our process id into it. Blocks for some 15 ms: for
 * the start of a program. Throws AlreadyRunning, naming the holder where it can be found, ConfigInvalid where the file cannot be
 * opened, NoSpace, Internal.
 */
export function takeLock(path: string): OfdLock {
  const fd = openLockFile(path);
  try {
    const { status, stderr, error } = spawnSync("perl", ["-e", LOCK_SCRIPT], { stdio: ["ignore", "ignore", "pipe", fd], encoding: "utf8" });
    if (status === HELD) throw held(path);
    if (status !== 0) throw new AptOstreeError("Internal", `cannot lock ${path}: ${error?.message ?? stderr.trim()}`, { details: { path } });
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`, 0);
  } catch (error) {
    closeSync(fd);
    throw asLockError(path, error);
  }
  let open = true;
  return {
    release: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

function openLockFile(path: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true });
    return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  } catch (error) {
    throw asLockError(path, error);
  }
}

function held(path: string): AptOstreeError {
  const pid = holderOf(path);
  const by = pid === null ? "another program" : `process ${pid}`;
  return new AptOstreeError("AlreadyRunning", `cannot lock ${path}: ${by} holds it`, { details: pid === null ? { path } : { path, pid } });
}

/** The process that wrote the file last, if it lives; the kernel tells no owner of such locks. It may be in another namespace. */
function holderOf(path: string): number | null {
  const pid = Number.parseInt(readFileSync(path, "utf8"), 10);
  return Number.isSafeInteger(pid) && pid > 0 && existsSync(`/proc/${pid}`) ? pid : null;
}

function asLockError(path: string, error: unknown): AptOstreeError {
  if (error instanceof AptOstreeError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const options = { details: { path, reason: code }, cause: error };
  if (code === "ENOSPC" || code === "EDQUOT") return new AptOstreeError("NoSpace", `cannot lock ${path}: the file system is full`, options);
  return new AptOstreeError("ConfigInvalid", `cannot lock ${path}: ${message}`, options);
}
