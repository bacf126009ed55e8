/** Following a transaction to its end, or to where the person has enough of it. */
import type { FollowEvent } from "../dbus/follow.ts";
import { AptOstreeError, toErrorValue } from "../model/errors.ts";
import type { TransactionView } from "../model/transaction.ts";
import type { Daemon } from "./context.ts";
import type { Interruption } from "./interruption.ts";
import type { Progress } from "./progress.ts";

/** How following ended: the transaction is final, or a signal made the client leave with this exit status. */
export type Ending = { readonly view: TransactionView } | { readonly left: number };

const CANCELLING = "Cancelling… (^C again to stop following; the transaction goes on being cancelled)";

/** Follows a transaction and shows what happens. Throws NotFound, and Unavailable when the daemon went and did not come back. */
export async function follow(daemon: Daemon, id: string, progress: Progress, interruption: Interruption): Promise<Ending> {
  const cancelling = new Cancelling(daemon, id, progress);
  const cancelled = interruption.cancel.then(() => cancelling.ask());
  const left = interruption.leave.then((status) => ({ left: status }));
  const events = daemon.follow(id)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([events.next(), left]);
      if ("left" in next) {
        progress.note(
          `Not following any more; the transaction goes on${cancelling.asked ? " being cancelled" : ""}: apt-ostree transactions follow ${id}`,
        );
        return next;
      }
      if (next.done === true) throw new AptOstreeError("Unavailable", `cannot follow transaction ${id}: the daemon told no end of it`);
      const event: FollowEvent = next.value;
      progress.show(event);
      if (event.kind === "finished") {
        // The answer to a cancellation that came at the very end is not left behind unread.
        if (cancelling.asked) await cancelled;
        return { view: event.view };
      }
      if (event.kind === "resumed") await cancelling.repeat();
    }
  } finally {
    progress.end();
  }
}

/** Asking the daemon to cancel, again where it was away. */
class Cancelling {
  readonly #daemon: Daemon;
  readonly #id: string;
  readonly #progress: Progress;
  #asked = false;
  #unheard = false;

  constructor(daemon: Daemon, id: string, progress: Progress) {
    this.#daemon = daemon;
    this.#id = id;
    this.#progress = progress;
  }

  get asked(): boolean {
    return this.#asked;
  }

  /** Says so and asks. Never rejects: following goes on however the daemon answers. */
  async ask(): Promise<void> {
    this.#asked = true;
    this.#progress.note(CANCELLING);
    await this.#send();
  }

  /** Asks again if the last time nobody heard it. */
  async repeat(): Promise<void> {
    if (this.#unheard) await this.#send();
  }

  async #send(): Promise<void> {
    this.#unheard = false;
    try {
      await this.#daemon.cancel(this.#id);
    } catch (error) {
      const { code, message } = toErrorValue(error);
      this.#unheard = code === "Unavailable";
      this.#progress.note(message);
    }
  }
}
