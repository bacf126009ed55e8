/** Writes that must come to be: there is nobody who could be told that they did not. */
import { toErrorValue } from "../model/errors.ts";
import { type Clock, pause } from "./clock.ts";

/** What such writes need of their surroundings. */
export interface PersistParts {
  readonly clock: Clock;
  readonly log: { error(facts: object, text: string): void };
  readonly isClosing: () => boolean;
}

/** How long a full disk is given before a write is tried again. */
const RETRY_MS = 1000;

/** Writes, and waits for space where there is none. Rejects with any other error, and with NoSpace where the daemon is stopping. */
export async function persist(write: () => Promise<void>, { clock, log, isClosing }: PersistParts): Promise<void> {
  for (;;) {
    try {
      return await write();
    } catch (error) {
      if (isClosing() || toErrorValue(error).code !== "NoSpace") throw error;
      log.error({ err: error }, "the journal has no space: trying again");
      await pause(clock, RETRY_MS);
    }
  }
}
