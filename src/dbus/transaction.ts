/** The transactions' objects: for each active one, and for the last ended ones, so that a late client still finds the result. */
import { isFinal, type RunMessage, type TransactionView } from "../model/transaction.ts";
import type { SchedulerEvents } from "../scheduler/api.ts";
import { type Binding, bind, type CallContext } from "./binding.ts";
import { MAIN, TRANSACTION } from "./interfaces.ts";
import { cancelFor, type Services } from "./manager.ts";
import type { ObjectServer } from "./server.ts";
import { ROOT_PATH, transactionPath } from "./wire.ts";

/** How many ended transactions keep their object. */
export const KEPT_ENDED = 100;

/**
 * Turns the scheduler's events into objects and signals. What is told of a transaction that a client is just submitting is
 * held back until that client has its id, so that no signal comes before the answer it belongs to.
 */
export class Transactions {
  readonly #server: ObjectServer;
  readonly #services: Services;
  readonly #onActiveChanged: () => void;
  readonly #views = new Map<string, TransactionView>();
  /** Ids in the order they ended. */
  readonly #ended: string[] = [];
  /** Clients with unanswered submissions, and how many. */
  readonly #submitting = new Map<string, number>();
  /** What is still to be told, by id, with the client it waits for. */
  readonly #held = new Map<string, { readonly sender: string; readonly events: (() => void)[] }>();

  constructor(server: ObjectServer, services: Services, onActiveChanged: () => void) {
    this.#server = server;
    this.#services = services;
    this.#onActiveChanged = onActiveChanged;
  }

  /** Object paths of the transactions that have not ended. */
  active(): string[] {
    return [...this.#views.values()].filter((view) => !isFinal(view.state)).map((view) => transactionPath(view.id));
  }

  /** Holds back what is told of new transactions of this caller until it has its answer. */
  holdBack(call: CallContext): void {
    const { sender } = call;
    this.#submitting.set(sender, (this.#submitting.get(sender) ?? 0) + 1);
    call.onReplied(() => {
      const left = (this.#submitting.get(sender) ?? 1) - 1;
      if (left > 0) {
        this.#submitting.set(sender, left);
        return;
      }
      this.#submitting.delete(sender);
      for (const [id, held] of [...this.#held]) {
        if (held.sender !== sender) continue;
        this.#held.delete(id);
        for (const tell of held.events) tell();
      }
    });
  }

  /** Serves a transaction that was there before we were. */
  adopt(view: TransactionView): void {
    if (this.#views.has(view.id) || this.#held.has(view.id)) return;
    this.#add(view);
    if (isFinal(view.state)) this.#retire(view.id);
  }

  /** The listeners for the scheduler's events about transactions. */
  readonly listeners = {
    added: (view) => {
      if (this.#submitting.has(view.caller.sender)) this.#held.set(view.id, { sender: view.caller.sender, events: [] });
      this.#tell(view.id, () => {
        this.#add(view);
        this.#onActiveChanged();
      });
    },
    changed: (view) => this.#tell(view.id, () => this.#show(view)),
    progress: (view) => this.#tell(view.id, () => this.#progress(view)),
    message: (view, message) => this.#tell(view.id, () => this.#message(view, message)),
    finished: (view) => this.#tell(view.id, () => this.#finish(view)),
  } satisfies { [E in Exclude<keyof SchedulerEvents, "snapshot">]: (...args: SchedulerEvents[E]) => void };

  #tell(id: string, event: () => void): void {
    const held = this.#held.get(id);
    if (held === undefined) event();
    else held.events.push(event);
  }

  #add(view: TransactionView): void {
    this.#views.set(view.id, view);
    this.#server.add(transactionPath(view.id), [this.#binding(view)]);
  }

  #show(view: TransactionView): void {
    // An ended transaction's last word stands.
    if (!this.#views.has(view.id) || this.#ended.includes(view.id)) return;
    this.#views.set(view.id, view);
    this.#server.refresh(transactionPath(view.id));
  }

  #progress(view: TransactionView): void {
    this.#show(view);
    const { percent, text, bytesDone, bytesTotal } = view.progress;
    this.#server.emit(transactionPath(view.id), TRANSACTION, "Progress", { percent, text, bytes_done: bytesDone, bytes_total: bytesTotal });
    this.#server.emit(ROOT_PATH, MAIN, "TransactionProgress", { transaction_id: view.id, progress: Math.round(percent), message: text });
  }

  #message(view: TransactionView, message: RunMessage): void {
    const { seq, level, text } = message;
    this.#server.emit(transactionPath(view.id), TRANSACTION, "Message", { seq, level, text: text.replaceAll("\0", "") });
  }

  #finish(view: TransactionView): void {
    if (!this.#views.has(view.id) || this.#ended.includes(view.id)) return;
    this.#show(view);
    this.#server.emit(transactionPath(view.id), TRANSACTION, "Finished", {
      state: view.state,
      error_code: view.error?.code ?? "",
      error_message: view.error?.message.replaceAll("\0", "") ?? "",
    });
    this.#onActiveChanged();
    this.#retire(view.id);
  }

  #retire(id: string): void {
    this.#ended.push(id);
    while (this.#ended.length > KEPT_ENDED) {
      const oldest = this.#ended.shift() as string;
      this.#views.delete(oldest);
      this.#server.remove(transactionPath(oldest));
    }
  }

  #binding(first: TransactionView): Binding {
    const { id } = first;
    const view = (): TransactionView => this.#views.get(id) ?? first;
    return bind(TRANSACTION, {
      methods: {
        Cancel: async (_args, call) => {
          await cancelFor(this.#services, call, id);
          return {};
        },
      },
      properties: {
        Id: () => id,
        Kind: () => view().kind,
        Title: () => view().title,
        Client: () => [view().caller.sender, view().caller.uid, view().caller.agent],
        Class: () => view().requestClass,
        CreatedMs: () => view().createdMs,
        Resumed: () => view().resumed,
        State: () => view().state,
        Percent: () => view().progress.percent,
        Text: () => view().progress.text,
        EtaP50Ms: () => wholeSeconds(view().eta?.p50Ms),
        EtaP90Ms: () => wholeSeconds(view().eta?.p90Ms),
        Warning: () => view().warning.replaceAll("\0", ""),
        WaitingFor: () => view().waitingFor,
        Position: () => view().position,
        Cancellable: () => view().cancellable,
        JoinedWith: () => view().joinedWith,
        Result: () => (view().result === null ? "" : JSON.stringify(view().result)),
      },
    });
  }
}

/** An estimate in steps of a second, rounded up: it is told when it changes, and by the millisecond it always does. 0 is for unknown. */
function wholeSeconds(ms: number | undefined): number {
  return ms === undefined ? 0 : Math.max(1, Math.ceil(ms / 1000)) * 1000;
}
