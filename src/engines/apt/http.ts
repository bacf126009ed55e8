/**
 * Reading one file over http or https: redirects, ranges, stalls, errors in words (RFC 9110). Built on node's own client: undici
 * 7.30.2 was measured to block the event loop for 66 ms and to take 19 MB when it is loaded, and to end the whole process with
 * an assertion when a server closes a connection while the reader is busy (nodejs/undici#5360).
 */
import type { IncomingMessage } from "node:http";
import { withoutCredentials } from "../../model/credentials.ts";
import { Connections } from "./connections.ts";
import { TransferError } from "./transfererror.ts";
import { basicAuthorizationOf, hostOf, schemeOf } from "./uri.ts";

/** How a file is read. */
export interface HttpReadOptions {
  /** How many bytes of it are there already. */
  readonly offset: number;
  /** What the whole file must measure; a partial answer that says otherwise is not used. */
  readonly sizeBytes: number;
  /** Ask every cache on the way to look at the origin again. */
  readonly noCache: boolean;
  /** The longest time without a single byte, from the look-up of the name to the last one. */
  readonly stallTimeoutMs: number;
  /** The proxy for an address (asked again after a redirect), or null. */
  readonly proxyFor: (uri: string) => string | null | Promise<string | null>;
  readonly signal: AbortSignal;
}

/** The bytes of a file, from `offset` on: the one that was asked for, or 0 where the server would not resume. */
export interface OpenedFile {
  readonly offset: number;
  /** Of the whole file, where the source says so. */
  readonly sizeBytes: number | null;
  /** Throws `TransferError`. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the transfer; to be called in any case, also after the end and when nothing was read. */
  readonly close: () => void;
}

const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const USER_AGENT = "apt-ostree";
/** A body that nobody wants is read to its end up to here, so that its connection can be used again. */
const DRAINED_BYTES = 64 * 1024;

/** Connections to servers and proxies, kept and used again until `close`. */
export class HttpClient {
  readonly #connections = new Connections();

  /** Opens a file for reading. Throws `TransferError`; the signal's reason when that fires. */
  async open(uri: string, options: HttpReadOptions): Promise<OpenedFile> {
    const watch = new StallWatch(options.stallTimeoutMs, options.signal);
    let current = uri;
    try {
      for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
        const { response, next } = await this.#request(current, options, options.offset, watch);
        if (next === null) return await this.#toFile(current, response, options, watch);
        current = next;
      }
      throw new TransferError("permanent", `more than ${MAX_REDIRECTS} redirects, the last one to ${withoutCredentials(current)}`);
    } catch (error) {
      watch.end();
      throw watch.explain(error);
    }
  }

  /** Closes all connections, in use or not. */
  close(): void {
    this.#connections.close();
  }

  async #request(
    uri: string,
    options: HttpReadOptions,
    offset: number,
    watch: StallWatch,
  ): Promise<{ response: IncomingMessage; next: string | null }> {
    const url = new URL(uri);
    const headers: Record<string, string> = { "user-agent": USER_AGENT, "accept-encoding": "identity" };
    if (offset > 0) headers.range = `bytes=${offset}-`;
    if (options.noCache) headers["cache-control"] = "no-cache";
    if (url.username !== "") headers.authorization = basicAuthorizationOf(url);
    url.username = "";
    url.password = "";
    const proxy = await options.proxyFor(url.href);
    watch.peer = proxy !== null && url.protocol === "http:" ? `the proxy ${hostOf(proxy)}` : url.host;
    const response = await this.#connections.get(url, { headers, proxy, signal: watch.signal });
    watch.alive();
    if (!REDIRECTS.has(statusOf(response))) return { response, next: null };
    await drain(response);
    return { response, next: redirectTarget(url, response) };
  }

  async #toFile(uri: string, first: IncomingMessage, options: HttpReadOptions, watch: StallWatch): Promise<OpenedFile> {
    let response = first;
    let offset = options.offset;
    if (offset > 0 && !resumes(response, offset, options.sizeBytes) && (statusOf(response) === 206 || statusOf(response) === 416)) {
      await drain(response);
      offset = 0;
      const again = await this.#request(uri, options, 0, watch);
      if (again.next !== null) throw new TransferError("transient", `${hostOf(uri)} redirects a part and not the whole`);
      response = again.response;
    }
    if (statusOf(response) === 206 && offset > 0) return openedFile(response, offset, options.sizeBytes, watch);
    if (statusOf(response) !== 200) {
      await drain(response);
      throw statusError(uri, response);
    }
    const length = headerOf(response, "content-length");
    return openedFile(response, 0, length === "" ? null : Number(length), watch);
  }
}

/** Ends a transfer in which nothing moves for too long, and tells that end from the one the caller asked for. */
class StallWatch {
  readonly #timeoutMs: number;
  readonly #outer: AbortSignal;
  /** Whom we talk to, for messages. */
  peer = "";
  readonly #controller = new AbortController();
  readonly #onAbort = (): void => this.#controller.abort(this.#outer.reason);
  #timer: NodeJS.Timeout | undefined;
  #stalled = false;

  constructor(timeoutMs: number, outer: AbortSignal) {
    outer.throwIfAborted();
    this.#timeoutMs = timeoutMs;
    this.#outer = outer;
    outer.addEventListener("abort", this.#onAbort, { once: true });
    this.alive();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Something came: the time begins anew. */
  alive(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#stalled = true;
      this.#controller.abort();
    }, this.#timeoutMs);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener("abort", this.#onAbort);
  }

  /** The body, watched until its end. The time does not run while the reader is busy with a chunk. */
  async *follow(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      this.alive();
      for await (const chunk of body) {
        clearTimeout(this.#timer);
        yield chunk;
        this.alive();
      }
    } catch (error) {
      throw this.explain(error);
    } finally {
      this.end();
    }
  }

  explain(error: unknown): unknown {
    if (this.#outer.aborted) return this.#outer.reason;
    if (this.#stalled) {
      const seconds = this.#timeoutMs >= 1000 ? `${Math.round(this.#timeoutMs / 1000)} s` : `${this.#timeoutMs} ms`;
      return new TransferError("transient", `nothing came from ${this.peer} for ${seconds}`);
    }
    return error instanceof TransferError ? error : networkError(error, this.peer);
  }
}

function openedFile(response: IncomingMessage, offset: number, sizeBytes: number | null, watch: StallWatch): OpenedFile {
  const close = (): void => {
    watch.end();
    response.destroy();
  };
  return { offset, sizeBytes, body: watch.follow(response), close };
}

/** Gives a connection back by reading what is left, where that is little. */
async function drain(response: IncomingMessage): Promise<void> {
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (bytes > DRAINED_BYTES) break;
  }
}

function statusOf(response: IncomingMessage): number {
  return response.statusCode ?? 0;
}

function networkError(error: unknown, host: string): TransferError {
  const { code, message } = innermost(error);
  const known: Record<string, string> = {
    ECONNREFUSED: `connection refused by ${host}`,
    ENOTFOUND: `there is no host ${host}`,
    EAI_AGAIN: `the name ${host} cannot be looked up now`,
    ECONNRESET: `connection closed by ${host}`,
    EPIPE: `connection closed by ${host}`,
    ETIMEDOUT: `${host} does not answer`,
    ENETUNREACH: `no network leads to ${host}`,
    EHOSTUNREACH: `no network leads to ${host}`,
  };
  const certificate = /CERT|SELF_SIGNED|UNABLE_TO_|^ERR_TLS|^ERR_SSL/.test(code);
  const text = certificate ? `${host} cannot be trusted: ${message}` : (known[code] ?? `${host}: ${message}`);
  return new TransferError(certificate || code.startsWith("ERR_INVALID") ? "permanent" : "transient", withoutCredentials(text), { cause: error });
}

/** The code that says most: a name may have several addresses, and each was tried. */
function innermost(error: unknown): { code: string; message: string } {
  let current: unknown = error;
  let found = { code: "", message: error instanceof Error ? error.message : String(error) };
  for (let depth = 0; depth < 5 && current instanceof Error; depth += 1) {
    const code = (current as NodeJS.ErrnoException).code;
    if (typeof code === "string") found = { code, message: current.message === "" ? found.message : current.message };
    current = current instanceof AggregateError ? current.errors[0] : current.cause;
  }
  return found;
}

function statusError(uri: string, response: IncomingMessage): TransferError {
  const status = statusOf(response);
  const text = `${hostOf(uri)} answered ${status}`;
  if (status === 404 || status === 410) return new TransferError("notFound", text);
  const transient = status >= 500 || status === 408 || status === 425 || status === 429;
  return new TransferError(transient ? "transient" : "permanent", text, { retryAfterMs: retryAfterMs(headerOf(response, "retry-after")) });
}

/** Seconds or a date (RFC 9110, 10.2.3). */
function retryAfterMs(value: string): number {
  if (value === "") return 0;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(ms, 0) : 0;
}

function resumes(response: IncomingMessage, offset: number, sizeBytes: number): boolean {
  if (statusOf(response) !== 206) return false;
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headerOf(response, "content-range")) ?? [];
  return Number(start) === offset && (total === "*" || Number(total) === sizeBytes);
}

function redirectTarget(from: URL, response: IncomingMessage): string {
  const location = headerOf(response, "location");
  if (!URL.canParse(location, from.href)) throw new TransferError("permanent", `${from.host} redirects to nowhere`);
  const to = new URL(location, from);
  const scheme = schemeOf(to.href);
  if (scheme !== "https" && (scheme !== "http" || from.protocol === "https:")) {
    throw new TransferError("permanent", `${from.host} redirects from ${schemeOf(from.href)} to ${scheme}, which is refused`);
  }
  return to.href;
}

function headerOf(response: IncomingMessage, name: string): string {
  const value = response.headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? "";
}
