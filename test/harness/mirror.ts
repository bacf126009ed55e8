/**
 * A web server on 127.0.0.1 that serves a directory, as a package mirror does, and misbehaves where it is told to. It speaks
 * enough HTTP/1.1 for apt and for our fetcher: ranges, ETag, If-Range, If-Modified-Since, keep-alive (RFC 9110).
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { join, normalize } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Stamps } from "./stamps.ts";

/** One way for a path to misbehave. */
export type Fault =
  /** The connection is reset after that many bytes of the body. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** The body comes at about that rate. */
  | { readonly kind: "slow"; readonly bytesPerSecond: number }
  /** The connection is closed after the answer, as by servers that keep none. */
  | { readonly kind: "close" }
  /** Nothing comes any more after that many bytes of the body; the connection stays open. */
  | { readonly kind: "stall"; readonly afterBytes: number }
  /** The request is never answered. */
  | { readonly kind: "silent" }
  /** The right number of bytes, one of them wrong. */
  | { readonly kind: "wrongBytes" }
  /** The body has that many bytes, whatever the file has. */
  | { readonly kind: "wrongSize"; readonly bytes: number }
  /** An error status, or a redirect where `location` is given. */
  | { readonly kind: "status"; readonly status: number; readonly location?: string; readonly retryAfter?: string }
  /** A range is answered with 200 and the whole file. */
  | { readonly kind: "ignoreRange" }
  /** A range is answered with 206 and the right header for a range that was not asked for. */
  | { readonly kind: "wrongRange"; readonly start: number }
  /** 416 for every range. */
  | { readonly kind: "rangeNotSatisfiable" };

/** What was asked of the server. */
export interface MirrorRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** A running server. */
export interface Mirror {
  /** "http://127.0.0.1:PORT", without a slash at the end. */
  readonly url: string;
  /** Every request so far, in order. */
  readonly requests: MirrorRequest[];
  /** Bytes of bodies sent so far. */
  readonly bytesSent: number;
  /** How many connections were accepted so far. */
  readonly connections: number;
  /** How many connections are open now. */
  readonly openConnections: number;
  /** How often a path was asked for. */
  count(path: string): number;
  /** Makes a path ("/pool/a.deb") misbehave for the next `times` requests, or for good; faults of one path queue up. */
  fault(path: string, fault: Fault, times?: number): void;
  /** Takes all faults away. */
  clearFaults(): void;
  /** Closes every connection and the server. */
  close(): Promise<void>;
}

/** Starts a server for a directory, on a port that the kernel chooses. */
export async function startMirror(directory: string): Promise<Mirror> {
  const faults = new Map<string, { fault: Fault; left: number }[]>();
  const requests: MirrorRequest[] = [];
  const sockets = new Set<Socket>();
  const closing = new AbortController();
  const totals = { bytesSent: 0, connections: 0 };
  const stamps = new Stamps();

  function takeFault(path: string): Fault | null {
    const queue = faults.get(path);
    const first = queue?.[0];
    if (queue === undefined || first === undefined) return null;
    first.left -= 1;
    if (first.left <= 0) queue.shift();
    return first.fault;
  }

  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? "/").replace(/^https?:\/\/[^/]*/, "").replace(/\?.*$/, ""));
    requests.push({ method: request.method ?? "", path, headers: request.headers });
    const send = (chunk: Buffer): void => {
      totals.bytesSent += chunk.length;
    };
    answer({ directory, path, request, response, fault: takeFault(path), stamps, send, signal: closing.signal }).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 60_000;
  server.on("connection", (socket) => {
    totals.connections += 1;
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  });
  await listen(server);

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get bytesSent() {
      return totals.bytesSent;
    },
    get connections() {
      return totals.connections;
    },
    get openConnections() {
      return sockets.size;
    },
    count: (path) => requests.filter((request) => request.path === path).length,
    fault: (path, fault, times = Number.POSITIVE_INFINITY) => {
      const queue = faults.get(path) ?? [];
      faults.set(path, [...queue, { fault, left: times }]);
    },
    clearFaults: () => faults.clear(),
    close: async () => {
      closing.abort();
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve());
  });
}

interface Exchange {
  readonly directory: string;
  readonly path: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly fault: Fault | null;
  readonly stamps: Stamps;
  readonly send: (chunk: Buffer) => void;
  readonly signal: AbortSignal;
}

async function answer(exchange: Exchange): Promise<void> {
  const { directory, path, request, response, fault, stamps } = exchange;
  if (fault?.kind === "silent") return;
  if (fault?.kind === "status") {
    if (fault.location !== undefined) response.setHeader("Location", fault.location);
    if (fault.retryAfter !== undefined) response.setHeader("Retry-After", fault.retryAfter);
    return end(response, fault.status);
  }
  const file = join(directory, normalize(`/${path}`));
  const found = await stat(file).catch(() => null);
  if (found === null || !found.isFile()) return end(response, 404);

  const etag = `"${found.size.toString(16)}-${Math.floor(found.mtimeMs).toString(16)}"`;
  const modified = new Date(stamps.of(path, found)).toUTCString();
  response.setHeader("ETag", etag);
  response.setHeader("Last-Modified", modified);
  response.setHeader("Accept-Ranges", "bytes");
  if (fault?.kind === "close") response.setHeader("Connection", "close");
  if (request.headers["if-modified-since"] === modified || request.headers["if-none-match"] === etag) return end(response, 304);

  const range = parseRange(request, etag, modified, fault);
  if (range !== null && (fault?.kind === "rangeNotSatisfiable" || range.start >= found.size)) {
    response.setHeader("Content-Range", `bytes */${found.size}`);
    return end(response, 416);
  }
  const start = fault?.kind === "wrongRange" && range !== null ? fault.start : (range?.start ?? 0);
  const size = fault?.kind === "wrongSize" ? fault.bytes : found.size;
  const stop = Math.min(range?.end ?? size - 1, size - 1);
  response.statusCode = range === null ? 200 : 206;
  if (range !== null) response.setHeader("Content-Range", `bytes ${start}-${stop}/${size}`);
  response.setHeader("Content-Length", Math.max(stop - start + 1, 0));
  if (request.method === "HEAD" || stop < start) {
    response.end();
    return;
  }
  await sendBody(exchange, body(file, start, stop, found.size));
}

/** The bytes of a range of a file; zeroes beyond its end. */
async function* body(file: string, start: number, stop: number, size: number): AsyncGenerator<Buffer> {
  let sent = start;
  if (start < size) {
    for await (const chunk of createReadStream(file, { start, end: stop })) {
      sent += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
  }
  if (sent <= stop) yield Buffer.alloc(stop - sent + 1);
}

async function sendBody({ response, fault, send, signal }: Exchange, chunks: AsyncIterable<Buffer>): Promise<void> {
  response.flushHeaders();
  const limit = fault?.kind === "cut" || fault?.kind === "stall" ? fault.afterBytes : Number.POSITIVE_INFINITY;
  let sent = 0;
  for await (const whole of chunks) {
    for (const piece of pieces(whole, fault)) {
      if (response.destroyed) return;
      const chunk = Buffer.from(piece.subarray(0, Math.max(limit - sent, 0)));
      if (fault?.kind === "wrongBytes" && sent === 0 && chunk.length > 0) chunk[0] = (chunk[0] ?? 0) ^ 0xff;
      sent += chunk.length;
      if (chunk.length > 0 && !response.write(chunk)) await drained(response);
      send(chunk);
      if (sent >= limit) {
        await sleep(20, undefined, { signal });
        if (fault?.kind === "cut") response.socket?.resetAndDestroy();
        return;
      }
      if (fault?.kind === "slow") await sleep(50, undefined, { signal });
    }
  }
  response.end();
}

function* pieces(chunk: Buffer, fault: Fault | null): Generator<Buffer> {
  const step = fault?.kind === "slow" ? Math.max(1, Math.round(fault.bytesPerSecond / 20)) : chunk.length;
  for (let at = 0; at < chunk.length; at += step) yield chunk.subarray(at, at + step);
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}

function parseRange(
  request: IncomingMessage,
  etag: string,
  modified: string,
  fault: Fault | null,
): { start: number; end: number | undefined } | null {
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  if (match === null || fault?.kind === "ignoreRange") return null;
  const condition = request.headers["if-range"];
  if (condition !== undefined && condition !== etag && condition !== modified) return null;
  return { start: Number(match[1]), end: match[2] === "" ? undefined : Number(match[2]) };
}

function end(response: ServerResponse, status: number): void {
  response.statusCode = status;
  if (status === 304) response.end();
  else response.end(`${status}\n`);
}
