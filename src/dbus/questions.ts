/** Questions that take a child or the network to answer: a program that asks in a loop must not fill the line for all. */
import type { CallContext } from "./binding.ts";
import type { Callers } from "./caller.ts";
import { ProtocolError } from "./faults.ts";

/** Counts the open questions of each user, over all of the user's connections. */
export class OpenQuestions {
  readonly #callers: Pick<Callers, "of">;
  readonly #maxOfUser: number;
  readonly #open = new Map<number, number>();

  /** At most `maxOfUser` are open at once for one user. */
  constructor(callers: Pick<Callers, "of">, maxOfUser: number) {
    this.#callers = callers;
    this.#maxOfUser = maxOfUser;
  }

  /** The answer to a question of a call. Throws LimitsExceeded where its user has too many open, and what the question throws. */
  async ask<T>({ sender }: Pick<CallContext, "sender">, question: () => Promise<T>): Promise<T> {
    const { uid } = await this.#callers.of(sender);
    const count = this.#open.get(uid) ?? 0;
    if (count >= this.#maxOfUser) throw new ProtocolError("LimitsExceeded", `cannot answer: user ${uid} has ${count} questions open already`);
    this.#open.set(uid, count + 1);
    try {
      return await question();
    } finally {
      const left = (this.#open.get(uid) ?? 1) - 1;
      if (left > 0) this.#open.set(uid, left);
      else this.#open.delete(uid);
    }
  }
}
