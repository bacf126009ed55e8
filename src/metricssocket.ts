/** The metrics over HTTP on a Unix socket, for a Prometheus agent on the same machine. */
import { chmod, lstat, unlink } from "node:fs/promises";
import type { Server } from "node:http";
import { METRICS_TYPE } from "./metrics.ts";
import { AptOstreeError } from "./model/errors.ts";

/** An agent needs one. */
const MAX_CONNECTIONS = 16;
/** Reading is for everyone, as on the bus. */
const MODE = 0o666;

/** Answers "GET /metrics" at a path with what `render` makes, until the returned function is called. Throws ConfigInvalid. */
export async function serveMetrics(path: string, render: () => string): Promise<() => Promise<void>> {
  // Only a daemon that was asked for the socket pays for the module.
  const { createServer } = await import("node:http");
  const server = createServer((request, response) => {
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (request.url?.split("?")[0] !== "/metrics") response.writeHead(404).end();
    else if (!isRead) response.writeHead(405, { allow: "GET, HEAD" }).end();
    else response.writeHead(200, { "content-type": METRICS_TYPE }).end(request.method === "GET" ? render() : undefined);
  });
  server.maxConnections = MAX_CONNECTIONS;
  try {
    // Only one daemon owns the state, so a socket that is there is what a killed one left.
    if ((await lstat(path).catch(() => null))?.isSocket() === true) await unlink(path);
    await listen(server, path);
    await chmod(path, MODE);
  } catch (cause) {
    throw new AptOstreeError("ConfigInvalid", `cannot serve metrics at ${path}: ${(cause as Error).message}`, { cause });
  }
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
