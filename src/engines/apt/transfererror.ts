/** Why a transfer failed, and whether trying again can help. */
export class TransferError extends Error {
  /** "transient": try again. "notFound": the address has gone. "permanent": nothing will change by itself. */
  readonly kind: "transient" | "permanent" | "notFound";
  /** What the server asked us to wait, in milliseconds; 0 where it did not. */
  readonly retryAfterMs: number;

  constructor(kind: TransferError["kind"], message: string, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "TransferError";
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}
