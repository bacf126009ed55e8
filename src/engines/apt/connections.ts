/** Connections to servers, direct or through proxies, kept and used again until they are closed together. */
import { type ClientRequest, Agent as HttpAgent, type RequestOptions as HttpOptions, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from "node:https";
import type { Duplex } from "node:stream";
import { connect as tlsConnect } from "node:tls";
import { withoutCredentials } from "../../model/credentials.ts";
import { TransferError } from "./transfererror.ts";
import { basicAuthorizationOf, schemeOf } from "./uri.ts";

/** How a file is asked for. */
export interface GetOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** "http://proxy:3128" or "https://…", or null. */
  readonly proxy: string | null;
  /** Ends the request and its answer at any point. */
  readonly signal: AbortSignal;
}

/** A pool of connections. */
export class Connections {
  readonly #http = new HttpAgent({ keepAlive: true });
  readonly #https = new HttpsAgent({ keepAlive: true });
  readonly #tunnels = new Map<string, TunnelAgent>();

  /** The answer to a GET, its body not yet read. Throws what node throws, and `TransferError` for a proxy that is no help. */
  async get(url: URL, options: GetOptions): Promise<IncomingMessage> {
    for (;;) {
      const request = this.#start(url, options);
      try {
        return await answerTo(request);
      } catch (error) {
        // The server had closed a kept connection and we did not know yet: that says nothing about the server.
        if (!request.reusedSocket || options.signal.aborted) throw error;
      }
    }
  }

  /** Closes everything, in use or not. */
  close(): void {
    for (const agent of [this.#http, this.#https, ...this.#tunnels.values()]) agent.destroy();
    this.#tunnels.clear();
  }

  #start(url: URL, { headers, proxy, signal }: GetOptions): ClientRequest {
    const secure = url.protocol === "https:";
    const direct = { ...addressOf(url), path: `${url.pathname}${url.search}`, headers, signal };
    if (proxy === null) return secure ? httpsRequest({ ...direct, agent: this.#https }) : httpRequest({ ...direct, agent: this.#http });
    const via = proxyUrl(proxy);
    if (secure) return httpsRequest({ ...direct, agent: this.#tunnelThrough(via) });
    // Plain http is asked of the proxy by its whole address: caching proxies for packages often refuse CONNECT.
    const asked = { ...addressOf(via), path: url.href, headers: { ...headers, host: url.host, ...proxyAuthorization(via) }, signal };
    return via.protocol === "https:" ? httpsRequest({ ...asked, agent: this.#https }) : httpRequest({ ...asked, agent: this.#http });
  }

  #tunnelThrough(proxy: URL): TunnelAgent {
    const agent = this.#tunnels.get(proxy.href) ?? new TunnelAgent(proxy);
    this.#tunnels.set(proxy.href, agent);
    return agent;
  }
}

/** TLS to a server through a proxy's CONNECT (RFC 9110, 9.3.6). */
class TunnelAgent extends HttpsAgent {
  readonly #proxy: URL;
  readonly #connecting = new Set<ClientRequest>();

  constructor(proxy: URL) {
    super({ keepAlive: true });
    this.#proxy = proxy;
  }

  override createConnection(options: RequestOptions, callback?: (error: Error | null, stream: Duplex) => void): undefined {
    const done = callback as (error: Error | null, stream?: Duplex) => void;
    const target = `${options.host}:${options.port ?? 443}`;
    const asked: HttpOptions = {
      ...addressOf(this.#proxy),
      method: "CONNECT",
      path: target,
      headers: { host: target, ...proxyAuthorization(this.#proxy) },
      agent: false,
    };
    const request = this.#proxy.protocol === "https:" ? httpsRequest(asked) : httpRequest(asked);
    this.#connecting.add(request);
    request.once("close", () => this.#connecting.delete(request));
    request.once("connect", (response, socket) => {
      this.#connecting.delete(request);
      if (response.statusCode === 200) return done(null, tlsConnect({ ...options, socket, host: undefined, port: undefined } as object));
      socket.destroy();
      const status = response.statusCode ?? 0;
      return done(new TransferError(status >= 500 ? "transient" : "permanent", `the proxy ${this.#proxy.host} answered ${status}`));
    });
    request.once("error", (error) =>
      done(new TransferError("transient", `the proxy ${this.#proxy.host} does not connect: ${error.message}`, { cause: error })),
    );
    request.end();
    return undefined;
  }

  override destroy(): void {
    for (const request of this.#connecting) request.destroy();
    super.destroy();
  }
}

function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    // Not once: what happens after the answer is told by the body, but must not go unheard here.
    request.on("error", reject);
    request.end();
  });
}

function addressOf(url: URL): { host: string; port: string | number } {
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return { host, port: url.port === "" ? (url.protocol === "https:" ? 443 : 80) : url.port };
}

function proxyAuthorization(proxy: URL): Record<string, string> {
  return proxy.username === "" ? {} : { "proxy-authorization": basicAuthorizationOf(proxy) };
}

function proxyUrl(proxy: string): URL {
  const scheme = schemeOf(proxy);
  if ((scheme === "http" || scheme === "https") && URL.canParse(proxy)) return new URL(proxy);
  throw new TransferError("permanent", `the proxy ${withoutCredentials(proxy)} is not one that can be used: only http and https are`);
}
