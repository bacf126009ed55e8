/** What travels on a bus, as `bus.ts` takes and gives it. */

/** A method call to make. */
export interface Call {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly unknown[];
  /** Milliseconds until the call fails with Unavailable; 25 s if absent. */
  readonly timeoutMs?: number;
  /** Let the bus start the service, and let polkit ask a person. Both off if absent. */
  readonly autoStart?: boolean;
  readonly interactive?: boolean;
}

/** A method call that arrived. Exactly one of `reply` and `fail` is to be called, once; both do nothing where no reply is wanted. */
export interface IncomingCall {
  readonly sender: string;
  readonly path: string;
  readonly interface: string | undefined;
  readonly member: string;
  readonly signature: string;
  readonly body: readonly unknown[];
  /** The caller's program allows that a person is asked for a password. */
  readonly interactive: boolean;
  /** Throws TypeError where the values do not fit the signature; nothing has been sent then. */
  reply(signature: string, body: readonly unknown[]): void;
  fail(name: string, text: string): void;
}

/** A signal that arrived; variants in `body` are replaced by what they hold. */
export interface IncomingSignal {
  readonly sender: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly body: readonly unknown[];
}

/** An error that a peer answered with; `errorName` is the D-Bus name. */
export class RemoteError extends Error {
  readonly errorName: string;

  constructor(errorName: string, message: string) {
    super(message);
    this.name = "RemoteError";
    this.errorName = errorName;
  }
}
