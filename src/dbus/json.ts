/** Long lists as JSON, without holding up the event loop and within what a message may carry. */
import { setImmediate as othersTurn } from "node:timers/promises";

/** Half of the longest body, as one element may be nearly as long. */
export const MAX_LIST_BYTES = 8 * 1024 * 1024;
/** Some 2 ms of work. */
const PART_BYTES = 256 * 1024;

/** The values as a JSON array: the first of them, as many as fit, and one in any case. */
export async function jsonArray(values: readonly unknown[], maxBytes = MAX_LIST_BYTES): Promise<string> {
  const texts: string[] = [];
  let bytes = 0;
  let partBytes = 0;
  for (const value of values) {
    const text = JSON.stringify(value);
    const length = Buffer.byteLength(text) + 1;
    if (texts.length > 0 && bytes + length > maxBytes) break;
    texts.push(text);
    bytes += length;
    partBytes += length;
    if (partBytes < PART_BYTES) continue;
    partBytes = 0;
    await othersTurn();
  }
  return `[${texts.join(",")}]`;
}
