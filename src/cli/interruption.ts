/** What Ctrl-C and the other signals mean to a client that follows a transaction. */
import type { Context, Signal } from "./context.ts";
import { SIGNALLED } from "./exit.ts";

/**
 * The signals from construction to `close`. With `mayCancel` the first Ctrl-C asks to cancel and the second to leave; else the
 * first one asks to leave. SIGTERM and SIGHUP always ask to leave: who ends a client (a closed window, a service manager) has not
 * said that the work is unwanted.
 */
export class Interruption {
  /** Resolves when the transaction is to be cancelled. */
  readonly cancel: Promise<void>;
  /** Resolves with the exit status when the client is to leave. */
  readonly leave: Promise<number>;
  readonly #stops: readonly (() => void)[];
  #interrupted = false;

  constructor(context: Pick<Context, "onSignal">, options: { readonly mayCancel: boolean }) {
    let cancel: () => void = () => {};
    let leave: (status: number) => void = () => {};
    this.cancel = new Promise((resolve) => {
      cancel = resolve;
    });
    this.leave = new Promise((resolve) => {
      leave = resolve;
    });
    const onSignal = (signal: Signal): void => {
      if (signal !== "SIGINT" || this.#interrupted || !options.mayCancel) leave(SIGNALLED[signal]);
      else cancel();
      if (signal === "SIGINT") this.#interrupted = true;
    };
    this.#stops = (Object.keys(SIGNALLED) as Signal[]).map((signal) => context.onSignal(signal, () => onSignal(signal)));
  }

  /** Whether Ctrl-C was pressed. */
  get interrupted(): boolean {
    return this.#interrupted;
  }

  /** Gives the signals back their usual meaning. */
  close(): void {
    for (const stop of this.#stops) stop();
  }
}
