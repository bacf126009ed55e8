/** Fetching a local package from an http(s) address that a person gave. Nothing vouches for it but the address: who asks trusts it. */

import { withoutCredentials } from "../../model/credentials.ts";
import { AptOstreeError } from "../../model/errors.ts";
import { HttpClient } from "../apt/http.ts";
import { TransferError } from "../apt/transfererror.ts";
import type { Paths } from "../paths.ts";
import { keep, MAX_LOCAL_BYTES } from "./kept.ts";

/** How an address is fetched. */
export interface AddressOptions {
  readonly proxyFor: (uri: string) => Promise<string | null>;
  readonly stallTimeoutMs: number;
  readonly signal: AbortSignal;
  readonly onBytes: (done: number, total: number) => void;
}

/** Fetches and keeps the package; what it is. Throws DownloadFailed, InvalidRequest for what is no package, NoSpace and Cancelled. */
export async function fetchAddress(paths: Paths, address: string, options: AddressOptions): Promise<string> {
  const client = new HttpClient();
  const { proxyFor, stallTimeoutMs, signal } = options;
  try {
    const file = await client.open(address, { offset: 0, sizeBytes: MAX_LOCAL_BYTES, noCache: false, stallTimeoutMs, proxyFor, signal });
    try {
      return await keep(paths, counted(file.body, file.sizeBytes ?? 0, options.onBytes), withoutCredentials(address), signal);
    } finally {
      file.close();
    }
  } catch (error) {
    if (signal.aborted) throw new AptOstreeError("Cancelled", "cancelled");
    if (!(error instanceof TransferError)) throw error;
    throw new AptOstreeError("DownloadFailed", `cannot download ${withoutCredentials(address)}: ${error.message}`, {
      details: { uri: withoutCredentials(address), notFound: false },
      cause: error,
    });
  } finally {
    client.close();
  }
}

async function* counted(body: AsyncIterable<Uint8Array>, total: number, onBytes: AddressOptions["onBytes"]): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const chunk of body) {
    done += chunk.length;
    if (done > MAX_LOCAL_BYTES) throw new TransferError("permanent", `it is larger than ${MAX_LOCAL_BYTES} bytes`);
    onBytes(done, total);
    yield chunk;
  }
}
