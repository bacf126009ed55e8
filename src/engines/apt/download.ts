/** Bringing one archive into the directory: resumed where it was left, tried again where that can help, verified before it counts. */
import { createHash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { type FileHandle, open, rm, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { withoutCredentials } from "../../model/credentials.ts";
import { AptOstreeError } from "../../model/errors.ts";
import type { Archive } from "../../model/plan.ts";
import { hashFile, markVerified, partialPath, partialSize, publish, spaceError, strongHashOf } from "./archives.ts";
import type { HttpClient, OpenedFile } from "./http.ts";
import { TransferError } from "./transfererror.ts";
import { hostOf, schemeOf } from "./uri.ts";

/** How an archive is downloaded. */
export interface DownloadOptions {
  readonly directory: string;
  readonly client: HttpClient;
  /** How often a transfer that failed for now is tried again. */
  readonly retries: number;
  readonly stallTimeoutMs: number;
  /** The first pause between two tries, in milliseconds; it doubles. */
  readonly backoffMs: number;
  readonly proxyFor: (uri: string) => string | null | Promise<string | null>;
  /** 0 to 1, for the jitter. */
  readonly random: () => number;
  /** How many bytes of the archive are on disk now. */
  readonly onBytes: (onDisk: number) => void;
  readonly signal: AbortSignal;
}

const MAX_PAUSE_MS = 30_000;
/** A try that brought this much was not in vain: the count of tries begins anew. */
const GOOD_GAIN_BYTES = 1024 * 1024;

/**
 * Downloads an archive and returns how many bytes came in. Throws DownloadFailed (`details.notFound` where the source no longer has it),
 * VerificationFailed, NoSpace and Cancelled; a partial file stays behind for the next time, except where it is wrong or
 * the disk is full.
 */
export async function download(archive: Archive, options: DownloadOptions): Promise<number> {
  const progress = { received: 0, best: 0, noCache: false };
  for (let failures = 0; ; ) {
    try {
      await attempt(archive, options, progress);
      return progress.received;
    } catch (error) {
      if (options.signal.aborted) throw new AptOstreeError("Cancelled", `cancelled while ${archive.fileName} was downloaded`);
      const space = spaceError(error, options.directory);
      if (space !== null || error instanceof MismatchError) await rm(partialPath(options.directory, archive), { force: true });
      if (space !== null) throw space;
      if (error instanceof MismatchError) {
        if (progress.noCache || hostOf(archive.uri) === "") throw verificationFailed(archive, error);
        progress.noCache = true;
        continue;
      }
      if (!(error instanceof TransferError)) throw notWritten(archive, options.directory, error);
      const onDisk = await partialSize(options.directory, archive);
      failures = onDisk - progress.best >= GOOD_GAIN_BYTES ? 1 : failures + 1;
      progress.best = Math.max(progress.best, onDisk);
      if (error.kind !== "transient" || failures > options.retries) throw downloadFailed(archive, error);
      await pause(failures, error.retryAfterMs, archive, options);
    }
  }
}

/** What came is not what it should be. */
class MismatchError extends Error {
  readonly actual: string;

  constructor(message: string, actual: string) {
    super(message);
    this.name = "MismatchError";
    this.actual = actual;
  }
}

async function attempt(archive: Archive, options: DownloadOptions, progress: { received: number; noCache: boolean }): Promise<void> {
  const { directory, signal, onBytes } = options;
  const path = partialPath(directory, archive);
  const { algorithm, digest } = strongHashOf(archive);
  let hash = createHash(algorithm);
  let onDisk = await partialSize(directory, archive);
  if (onDisk > archive.sizeBytes) onDisk = 0;
  if (onDisk > 0) await hashFile(path, hash, signal);

  const handle = await open(path, constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW, 0o644);
  try {
    if (onDisk < archive.sizeBytes || onDisk === 0) {
      const source = await openSource(archive, options, onDisk, progress.noCache);
      if (source.offset !== onDisk) hash = createHash(algorithm);
      onDisk = source.offset;
      await handle.truncate(onDisk);
      try {
        if (source.sizeBytes !== null && source.sizeBytes !== archive.sizeBytes) throw wrongSize(archive, source.sizeBytes);
        onBytes(onDisk);
        for await (const chunk of source.body) {
          progress.received += chunk.length;
          if (onDisk + chunk.length > archive.sizeBytes) throw wrongSize(archive, onDisk + chunk.length);
          await writeAll(handle, chunk, onDisk);
          hash.update(chunk);
          onDisk += chunk.length;
          onBytes(onDisk);
        }
      } finally {
        source.close();
      }
      if (onDisk < archive.sizeBytes) throw new TransferError("transient", `connection closed by ${hostOf(archive.uri)}`);
    }
    const actual = hash.digest("hex");
    if (actual !== digest) throw new MismatchError(`its ${algorithm.toUpperCase()} is ${actual}, not ${digest}`, actual);
    await handle.chmod(0o644);
    await markVerified(handle, archive);
  } finally {
    await handle.close();
  }
  await publish(directory, archive);
}

function wrongSize(archive: Archive, actual: number): MismatchError {
  return new MismatchError(`it has ${actual} bytes or more, not ${archive.sizeBytes}`, String(actual));
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, position + done);
    done += bytesWritten;
  }
}

async function openSource(archive: Archive, options: DownloadOptions, offset: number, noCache: boolean): Promise<OpenedFile> {
  const scheme = schemeOf(archive.uri);
  if (scheme === "file" || scheme === "copy") return openLocal(archive, options.signal);
  if (scheme !== "http" && scheme !== "https") throw new TransferError("permanent", `addresses with "${scheme}:" are not supported`);
  if (!URL.canParse(archive.uri)) throw new TransferError("permanent", "the address is malformed");
  const { stallTimeoutMs, proxyFor, signal } = options;
  return options.client.open(archive.uri, { offset, sizeBytes: archive.sizeBytes, noCache, stallTimeoutMs, proxyFor, signal });
}

/**
 * A file of this machine, copied: its owner may write to it later, and a hard link would then change under a name that means
 * "verified".
 */
async function openLocal(archive: Archive, signal: AbortSignal): Promise<OpenedFile> {
  const path = localPath(archive.uri);
  try {
    const { size } = await stat(path);
    const stream = createReadStream(path, { highWaterMark: 256 * 1024, signal });
    const body = readLocal(stream);
    return { offset: 0, sizeBytes: size, body, close: () => stream.destroy() };
  } catch (error) {
    throw localError(error);
  }
}

async function* readLocal(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* stream;
  } catch (error) {
    throw localError(error);
  }
}

function localError(error: unknown): TransferError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new TransferError(code === "ENOENT" || code === "ENOTDIR" ? "notFound" : "permanent", message, { cause: error });
}

function localPath(uri: string): string {
  const address = uri.replace(/^copy:/i, "file:");
  try {
    return fileURLToPath(address);
  } catch (error) {
    throw new TransferError("permanent", "the address is malformed", { cause: error });
  }
}

async function pause(failures: number, askedMs: number, archive: Archive, options: DownloadOptions): Promise<void> {
  const backoffMs = Math.min(options.backoffMs * 2 ** (failures - 1), MAX_PAUSE_MS) * (0.5 + options.random() / 2);
  try {
    await sleep(Math.min(Math.max(backoffMs, askedMs), MAX_PAUSE_MS), undefined, { signal: options.signal });
  } catch (error) {
    if (!options.signal.aborted) throw error;
    throw new AptOstreeError("Cancelled", `cancelled while ${archive.fileName} was downloaded`);
  }
}

function downloadFailed(archive: Archive, error: TransferError): AptOstreeError {
  const uri = withoutCredentials(archive.uri);
  return new AptOstreeError("DownloadFailed", `cannot download ${archive.fileName} from ${uri}: ${error.message}`, {
    details: { fileName: archive.fileName, uri, notFound: error.kind === "notFound" },
    cause: error,
  });
}

/** A directory that cannot be written to (read-only, no permission, a failing disk); anything else is a bug and stays what it is. */
function notWritten(archive: Archive, directory: string, error: unknown): unknown {
  const { errno, message } = error as NodeJS.ErrnoException;
  if (errno === undefined) return error;
  return new AptOstreeError("DownloadFailed", `cannot download ${archive.fileName} into ${directory}: ${message}`, {
    details: { fileName: archive.fileName, directory, notFound: false },
    cause: error,
  });
}

function verificationFailed(archive: Archive, error: MismatchError): AptOstreeError {
  const uri = withoutCredentials(archive.uri);
  return new AptOstreeError("VerificationFailed", `cannot verify ${archive.fileName} from ${uri}: ${error.message}`, {
    details: { fileName: archive.fileName, uri, expected: archive.hash, actual: error.actual },
  });
}
