/** What a run has to say: numbered from 1, kept in the journal, and told as it is said. */
import type { RunMessage } from "../model/transaction.ts";
import type { Clock } from "./clock.ts";
import type { Journal } from "./ports.ts";

/** What messages need of the run's surroundings. */
export interface RunMessagesParts {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly onMessage: (message: RunMessage) => void;
  readonly onRefused: (error: unknown) => void;
}

/** The messages of one run. */
export class RunMessages {
  readonly #runId: string;
  readonly #parts: RunMessagesParts;
  readonly #all: RunMessage[] = [];

  constructor(runId: string, parts: RunMessagesParts) {
    this.#runId = runId;
    this.#parts = parts;
  }

  get all(): readonly RunMessage[] {
    return this.#all;
  }

  /** Begins with what the journal has, or with what another run said, of which this one is a part; nothing is told. */
  begin(messages: readonly RunMessage[]): void {
    this.#all.push(...messages);
  }

  /** Says, keeps and tells one. */
  say(level: RunMessage["level"], text: string): void {
    const message = this.#add(level, text);
    this.#keep([message]);
    this.#parts.onMessage(message);
  }

  /** Says one, and keeps all: for a run whose row has only now come to be. */
  sayFirst(text: string): void {
    const message = this.#add("info", text);
    this.#keep(this.#all);
    this.#parts.onMessage(message);
  }

  #add(level: RunMessage["level"], text: string): RunMessage {
    const message: RunMessage = { seq: (this.#all.at(-1)?.seq ?? 0) + 1, atMs: this.#parts.clock.now(), level, text };
    this.#all.push(message);
    return message;
  }

  #keep(messages: readonly RunMessage[]): void {
    this.#parts.journal.addMessages(this.#runId, messages).catch(this.#parts.onRefused);
  }
}
