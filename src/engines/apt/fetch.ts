/**
 * Filling a shared directory with the archives of a plan. Two runs that want the same file share one download (a *flight*), which
 * stops only when the last one interested has left.
 */
import { setMaxListeners } from "node:events";
import { join } from "node:path";
import PQueue from "p-queue";
import { AptOstreeError } from "../../model/errors.ts";
import type { Archive } from "../../model/plan.ts";
import {
  checkFileName,
  checkSpace,
  finalPath,
  look,
  partialSize,
  prepareDirectory,
  removeArchives,
  removePartials,
  settle,
  strongHashOf,
} from "./archives.ts";
import { type DownloadOptions, download } from "./download.ts";
import { HttpClient } from "./http.ts";
import { hostOf } from "./uri.ts";

/** How far a fetch is; `item` is the name of the file that moved last. */
export interface FetchProgress {
  /** Bytes that are on disk, those that were there before included. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly item: string;
}

/** How archives are fetched. */
export interface FetchOptions {
  /** Is made where it is missing, with the `partial/` that apt wants. */
  readonly directory: string;
  /** How many files are fetched at a time. Asked several times a second: more or fewer begin from then on, none is broken off. */
  readonly concurrency: () => number;
  /** How many of them from one host; as many as there are where it is absent. */
  readonly perHost?: number;
  /** The proxy for an address ("http://proxy:3128" or "https://…"), or null for none. */
  readonly proxyFor: (uri: string) => string | null | Promise<string | null>;
  /** Ends the fetch with Cancelled; what has come stays for the next one. */
  readonly signal: AbortSignal;
  /** Called at most ten times a second, and once at the end. */
  readonly onProgress: (progress: FetchProgress) => void;
  /** How often a transfer that failed for now is tried again. */
  readonly retries: number;
  /** The longest time without a byte. */
  readonly stallTimeoutMs: number;
  /** The first pause before another try, half a second where it is absent; it doubles up to 30 s. */
  readonly backoffMs?: number;
  /** 0 to 1, for the jitter of the pauses; `Math.random` where it is absent. */
  readonly random?: () => number;
}

/** What a fetch did. */
export interface FetchResult {
  /** Files that were downloaded. */
  readonly fetched: number;
  /** Files that were there already. */
  readonly reused: number;
  /** Bytes that came from the sources. */
  readonly bytes: number;
}

const DEFAULT_BACKOFF_MS = 500;
const PROGRESS_INTERVAL_MS = 100;
const LOOKS_AT_A_TIME = 8;
const CONCURRENCY_INTERVAL_MS = 250;

/**
 * Brings all archives into the directory, each verified by its hash. At the first failure the rest is given up. Throws
 * DownloadFailed (with `details.uri`, and `details.notFound` where the lists are out of date), VerificationFailed,
 * NoSpace and Cancelled, always after its own transfers have ended.
 */
export async function fetchArchives(archives: readonly Archive[], options: FetchOptions): Promise<FetchResult> {
  const wanted = [...new Map(archives.map((archive) => [archive.fileName, archive])).values()];
  for (const archive of wanted) {
    checkFileName(archive);
    strongHashOf(archive);
  }
  await prepareDirectory(options.directory);
  throwIfCancelled(options.signal);

  const giveUp = new AbortController();
  // Every transfer listens, and there may be more of them than the ten that node takes for a leak.
  setMaxListeners(0, giveUp.signal);
  const leave = (): void => giveUp.abort();
  options.signal.addEventListener("abort", leave, { once: true });
  const report = new Report(wanted, options.onProgress);
  const client = leaseClient();
  const queue = new PQueue({ concurrency: options.concurrency() });
  const follow = setInterval(() => {
    queue.concurrency = options.concurrency();
  }, CONCURRENCY_INTERVAL_MS);
  try {
    const { missing, neededBytes } = await findMissing(wanted, options.directory, report);
    await checkSpace(options.directory, neededBytes);
    let fetched = 0;
    let bytes = 0;
    const perHost = hostQueues(options);
    await eachUntilFailure(missing, giveUp, (archive) =>
      perHost(archive).add(() =>
        queue.add(async () => {
          const landed = await board(archive, options, giveUp.signal, (onDisk) => report.set(archive, onDisk));
          report.set(archive, archive.sizeBytes);
          if (!landed.reused) fetched += 1;
          bytes += landed.bytes;
        }),
      ),
    );
    report.end();
    return { fetched, reused: wanted.length - fetched, bytes };
  } catch (error) {
    throwIfCancelled(options.signal);
    throw error;
  } finally {
    clearInterval(follow);
    options.signal.removeEventListener("abort", leave);
    client.release();
  }
}

/** Removes every archive whose name is not in `keep` and that nobody is fetching now. */
export function pruneArchives(directory: string, keep: ReadonlySet<string>): Promise<{ removed: number; bytes: number }> {
  return removeArchives(directory, keep, (fileName) => flights.has(join(directory, fileName)));
}

/** Removes partial files that nobody has written to for that many days. */
export function pruneStalePartials(
  directory: string,
  olderThanDays: number,
  nowMs: number = Date.now(),
): Promise<{ removed: number; bytes: number }> {
  return removePartials(directory, nowMs - olderThanDays * 86_400_000, (fileName) => flights.has(join(directory, fileName)));
}

/** The archives that are not there with their mark, in the order of the plan, and the bytes that the disk must still hold. */
async function findMissing(wanted: readonly Archive[], directory: string, report: Report): Promise<{ missing: Archive[]; neededBytes: number }> {
  const needs = new Map<Archive, number>();
  const queue = new PQueue({ concurrency: LOOKS_AT_A_TIME });
  const lookAt = async (archive: Archive): Promise<void> => {
    const state = await look(directory, archive);
    if (state === "verified") report.set(archive, archive.sizeBytes);
    else needs.set(archive, state === "unverified" ? 0 : Math.max(archive.sizeBytes - (await partialSize(directory, archive)), 0));
  };
  await Promise.all(wanted.map((archive) => queue.add(() => lookAt(archive))));
  return { missing: wanted.filter((archive) => needs.has(archive)), neededBytes: [...needs.values()].reduce((sum, bytes) => sum + bytes, 0) };
}

/** Runs all, waits for all, throws what failed first; after the first failure the rest finds `giveUp` aborted. */
async function eachUntilFailure(archives: readonly Archive[], giveUp: AbortController, run: (archive: Archive) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  await Promise.all(
    archives.map(async (archive) => {
      try {
        await run(archive);
      } catch (error) {
        failures.push(error);
        giveUp.abort();
      }
    }),
  );
  if (failures.length > 0) throw failures[0];
}

/** One queue a host, outside the common one: a job that waits for its host holds no place that another host could use. */
function hostQueues(options: FetchOptions): (archive: Archive) => PQueue {
  const queues = new Map<string, PQueue>();
  return (archive) => {
    const host = hostOf(archive.uri);
    const queue = queues.get(host) ?? new PQueue({ concurrency: options.perHost ?? Number.POSITIVE_INFINITY });
    queues.set(host, queue);
    return queue;
  };
}

/** How a flight ended. */
interface Landed {
  readonly reused: boolean;
  readonly bytes: number;
}

/** One download that several fetches may wait for. */
interface Flight {
  readonly hash: string;
  readonly stop: AbortController;
  readonly listeners: Set<(onDisk: number) => void>;
  readonly landed: Promise<Landed>;
}

/** Flights under way, by the path they lead to. */
const flights = new Map<string, Flight>();

/** Joins the flight to an archive's path, or starts it, and waits for its end or for `signal`. */
async function board(archive: Archive, options: FetchOptions, signal: AbortSignal, onBytes: (onDisk: number) => void): Promise<Landed> {
  const path = finalPath(options.directory, archive);
  let flight = flights.get(path);
  while (flight !== undefined && (flight.stop.signal.aborted || flight.hash !== archive.hash)) {
    // One that is being given up, or one for another file of the same name, has to be out of the way first.
    await untilAborted(flight.landed.then(ignore, ignore), signal);
    flight = flights.get(path);
  }
  signal.throwIfAborted();
  const mine = flight ?? takeOff(path, archive, options);
  mine.listeners.add(onBytes);
  try {
    return await untilAborted(mine.landed, signal);
  } finally {
    mine.listeners.delete(onBytes);
    if (mine.listeners.size === 0) {
      mine.stop.abort();
      await mine.landed.then(ignore, ignore);
    }
  }
}

function takeOff(path: string, archive: Archive, options: FetchOptions): Flight {
  const stop = new AbortController();
  const listeners = new Set<(onDisk: number) => void>();
  const onBytes = (onDisk: number): void => {
    for (const listener of listeners) listener(onDisk);
  };
  const landed = fly(archive, options, stop.signal, onBytes).finally(() => flights.delete(path));
  const flight = { hash: archive.hash, stop, listeners, landed };
  flights.set(path, flight);
  return flight;
}

async function fly(archive: Archive, options: FetchOptions, signal: AbortSignal, onBytes: (onDisk: number) => void): Promise<Landed> {
  const client = leaseClient();
  try {
    if (await settle(options.directory, archive, signal)) return { reused: true, bytes: 0 };
    const { directory, retries, stallTimeoutMs, proxyFor, backoffMs = DEFAULT_BACKOFF_MS, random = Math.random } = options;
    const how: DownloadOptions = { directory, retries, stallTimeoutMs, proxyFor, backoffMs, random, onBytes, signal, client: client.client };
    return { reused: false, bytes: await download(archive, how) };
  } finally {
    client.release();
  }
}

/** The promise's outcome, or the signal's reason if that comes first. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    promise
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", leave))
      .catch(ignore);
  });
}

function ignore(): void {
  // The outcome belongs to those who still wait for it.
}

const shared: { client: HttpClient | null; leases: number } = { client: null, leases: 0 };

/** The common connections, for as long as anybody fetches: they are closed with the last lease. */
function leaseClient(): { client: HttpClient; release: () => void } {
  const client = shared.client ?? new HttpClient();
  shared.client = client;
  shared.leases += 1;
  return {
    client,
    release: () => {
      shared.leases -= 1;
      if (shared.leases > 0) return;
      shared.client = null;
      client.close();
    },
  };
}

/** Adds up what is on disk of each file, and tells it at a bearable rate. */
class Report {
  readonly #onProgress: (progress: FetchProgress) => void;
  readonly #onDisk = new Map<string, number>();
  readonly #bytesTotal: number;
  #bytesDone = 0;
  #item = "";
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(archives: readonly Archive[], onProgress: (progress: FetchProgress) => void) {
    this.#onProgress = onProgress;
    this.#bytesTotal = archives.reduce((sum, archive) => sum + archive.sizeBytes, 0);
  }

  set(archive: Archive, onDisk: number): void {
    this.#bytesDone += onDisk - (this.#onDisk.get(archive.fileName) ?? 0);
    this.#onDisk.set(archive.fileName, onDisk);
    this.#item = archive.fileName;
    if (performance.now() - this.#toldAtMs >= PROGRESS_INTERVAL_MS) this.end();
  }

  /** Tells where things stand. */
  end(): void {
    this.#toldAtMs = performance.now();
    this.#onProgress({ bytesDone: this.#bytesDone, bytesTotal: this.#bytesTotal, item: this.#item });
  }
}

function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw new AptOstreeError("Cancelled", "cancelled while packages were downloaded");
}
