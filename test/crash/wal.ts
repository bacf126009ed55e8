/** The journal's write-ahead log as a power cut leaves it: what was written and not yet synced is gone. */
import { readFile, truncate } from "node:fs/promises";
import type { SandboxHost } from "../../src/sandbox/host.ts";
import { journalOf } from "./journal.ts";

/** Sizes and offsets of "WAL-mode File Format" (sqlite.org/walformat.html); all numbers are big-endian. */
const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const PAGE_SIZE_AT = 8;
/** Both salts, as one number. */
const SALT_AT = 16;
/** In a frame: the size of the database after the commit that it ends, else 0; then the salts of the log it belongs to. */
const COMMIT_AT = 4;
const FRAME_SALT_AT = 8;

/** Cuts the last commit off. The daemon must be dead. Throws where the log holds none. */
export async function loseLastCommit(host: SandboxHost): Promise<void> {
  const path = `${journalOf(host)}-wal`;
  const ends = commitEnds(await readFile(path));
  if (ends.length === 0) throw new Error(`${path} holds no commit to lose`);
  await truncate(path, ends.at(-2) ?? HEADER_BYTES);
}

/** Where each commit of the log ends; frames behind the last one that has the log's salts are of an older log. */
function commitEnds(log: Buffer): number[] {
  const ends: number[] = [];
  if (log.length < HEADER_BYTES) return ends;
  const frameBytes = FRAME_HEADER_BYTES + log.readUInt32BE(PAGE_SIZE_AT);
  const salt = log.readBigUInt64BE(SALT_AT);
  for (let at = HEADER_BYTES; at + frameBytes <= log.length && log.readBigUInt64BE(at + FRAME_SALT_AT) === salt; at += frameBytes) {
    if (log.readUInt32BE(at + COMMIT_AT) !== 0) ends.push(at + frameBytes);
  }
  return ends;
}
