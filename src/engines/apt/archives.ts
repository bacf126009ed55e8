/**
 * A directory of verified package archives under apt's own names, ready to be bound on /var/cache/apt/archives. A file gets its
 * name only after its hash was found right, by a rename from `partial/`.
 *
 * What was verified is remembered in the modification time: it is set to a number made of the hash. So one stat(2) tells whether
 * a file is the one that is wanted, also after a restart and also where two sources have different files of the same name and
 * size; and whatever writes to the file takes the mark away.
 */
import { createHash, type Hash } from "node:crypto";
import { createReadStream, type Dirent, type Stats } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import type { Archive } from "../../model/plan.ts";

const HASH_CHUNK_BYTES = 256 * 1024;

/** The hashes that are good enough, with node's names for them. */
const ALGORITHMS: Readonly<Record<string, { name: string; hexDigits: number }>> = {
  SHA256: { name: "sha256", hexDigits: 64 },
  SHA512: { name: "sha512", hexDigits: 128 },
};

/** The parts of an archive's hash. Throws VerificationFailed where it is missing, malformed or of a weaker kind. */
export function strongHashOf(archive: Archive): { algorithm: string; digest: string } {
  const [kind = "", digest = ""] = archive.hash.split(":");
  const known = ALGORITHMS[kind.toUpperCase()];
  if (known === undefined || digest.length !== known.hexDigits || !/^[0-9a-f]+$/.test(digest)) {
    throw new AptOstreeError("VerificationFailed", `cannot verify ${archive.fileName}: its source gives no SHA256 or SHA512 for it`, {
      details: { fileName: archive.fileName, hash: archive.hash },
    });
  }
  return { algorithm: known.name, digest };
}

/** Refuses a name that would lead out of the directory. Throws VerificationFailed. */
export function checkFileName(archive: Archive): void {
  if (/^[^./][^/\0]*$/.test(archive.fileName) && archive.fileName !== "partial" && archive.fileName !== "lock") return;
  throw new AptOstreeError("VerificationFailed", `cannot download ${JSON.stringify(archive.fileName)}: that is not a name for an archive`);
}

/** Where an archive is when it is verified. */
export function finalPath(directory: string, archive: Archive): string {
  return join(directory, archive.fileName);
}

/** Where an archive grows. */
export function partialPath(directory: string, archive: Archive): string {
  return join(directory, "partial", archive.fileName);
}

/** Makes the directory and its `partial/`, without which apt refuses it. Throws NoSpace and DownloadFailed. */
export async function prepareDirectory(directory: string): Promise<void> {
  try {
    await mkdir(join(directory, "partial"), { recursive: true, mode: 0o755 });
  } catch (error) {
    const message = `cannot download into ${directory}: ${(error as Error).message}`;
    throw spaceError(error, directory) ?? new AptOstreeError("DownloadFailed", message, { details: { directory, notFound: false }, cause: error });
  }
}

/** Whether an archive is there with its mark, there without it, or not there; a single stat. */
export async function look(directory: string, archive: Archive): Promise<"verified" | "unverified" | "absent"> {
  const found = await statOrNull(finalPath(directory, archive));
  if (found === null) return "absent";
  const right = found.isFile() && found.size === archive.sizeBytes && found.mtimeMs === markOf(archive) * 1000;
  return right ? "verified" : "unverified";
}

/**
 * Makes sure that what has an archive's name is that archive: a file without the mark is hashed once and marked, or removed if
 * it is wrong. Returns whether the archive is there now. One caller at a time for each path; the signal ends the hashing.
 */
export async function settle(directory: string, archive: Archive, signal: AbortSignal): Promise<boolean> {
  const path = finalPath(directory, archive);
  const state = await look(directory, archive);
  if (state !== "unverified") return state === "verified";
  const found = await statOrNull(path);
  if (found?.isFile() === true && found.size === archive.sizeBytes) {
    const { algorithm, digest } = strongHashOf(archive);
    if ((await hashFile(path, createHash(algorithm), signal)).digest("hex") === digest) {
      const handle = await open(path, "r+");
      await markVerified(handle, archive).finally(() => handle.close());
      return true;
    }
  }
  await rm(path, { recursive: true, force: true });
  return false;
}

/** Marks an open file as verified; nothing may be written to it afterwards. */
export async function markVerified(handle: FileHandle, archive: Archive): Promise<void> {
  await handle.utimes(new Date(), markOf(archive));
}

/** Gives a marked partial file its name. */
export async function publish(directory: string, archive: Archive): Promise<void> {
  await rename(partialPath(directory, archive), finalPath(directory, archive));
}

/** Seconds since the epoch, before 2004, made of the first 30 bits of the hash: whole seconds survive on every file system. */
function markOf(archive: Archive): number {
  return Number.parseInt(strongHashOf(archive).digest.slice(0, 8), 16) >>> 2;
}

/** Feeds a file to a hash in pieces that are too small to hold up the event loop. The signal ends it. */
export async function hashFile(path: string, hash: Hash, signal: AbortSignal): Promise<Hash> {
  for await (const chunk of createReadStream(path, { highWaterMark: HASH_CHUNK_BYTES, signal })) hash.update(chunk as Buffer);
  return hash;
}

/** How many bytes of an archive have been downloaded so far. */
export async function partialSize(directory: string, archive: Archive): Promise<number> {
  return (await statOrNull(partialPath(directory, archive)))?.size ?? 0;
}

/** Throws NoSpace where the file system cannot hold that many more bytes. */
export async function checkSpace(directory: string, neededBytes: number): Promise<void> {
  const { bavail, bfree, bsize } = await statfs(directory);
  const freeBytes = (process.geteuid?.() === 0 ? bfree : bavail) * bsize;
  if (freeBytes >= neededBytes) return;
  throw new AptOstreeError(
    "NoSpace",
    `cannot download into ${directory}: ${megabytes(neededBytes)} MB are needed and ${megabytes(freeBytes)} MB are free`,
    { details: { directory, neededBytes, freeBytes } },
  );
}

/** The NoSpace error that a failed write stands for; null for other failures. */
export function spaceError(error: unknown, directory: string): AptOstreeError | null {
  const code = (error as { code?: unknown } | null)?.code;
  if (code !== "ENOSPC" && code !== "EDQUOT") return null;
  return new AptOstreeError("NoSpace", `cannot download into ${directory}: the file system is full`, { details: { directory }, cause: error });
}

/**
 * Removes every archive whose name is not in `keep`, and tells how many and how many bytes. Other files, `partial/` and the ones in
 * `busy` stay.
 */
export async function removeArchives(
  directory: string,
  keep: ReadonlySet<string>,
  busy: (fileName: string) => boolean,
): Promise<{ removed: number; bytes: number }> {
  return removeFiles(directory, (entry) => entry.name.endsWith(".deb") && !keep.has(entry.name) && !busy(entry.name));
}

/** Removes partial files that nobody wrote to since `beforeMs` (milliseconds since the epoch), save the ones in `busy`. */
export async function removePartials(
  directory: string,
  beforeMs: number,
  busy: (fileName: string) => boolean,
): Promise<{ removed: number; bytes: number }> {
  return removeFiles(join(directory, "partial"), (entry, mtimeMs) => mtimeMs < beforeMs && !busy(entry.name));
}

async function removeFiles(directory: string, wanted: (entry: Dirent, mtimeMs: number) => boolean): Promise<{ removed: number; bytes: number }> {
  let removed = 0;
  let bytes = 0;
  for (const entry of await entriesOf(directory)) {
    const path = join(directory, entry.name);
    const found = entry.isFile() ? await statOrNull(path) : null;
    if (found === null || !wanted(entry, found.mtimeMs)) continue;
    await rm(path, { force: true });
    removed += 1;
    bytes += found.size;
  }
  return { removed, bytes };
}

async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

async function statOrNull(path: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
