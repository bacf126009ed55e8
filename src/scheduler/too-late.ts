/** A cancel that comes when there is nothing left to cancel. */
import { AptOstreeError } from "../model/errors.ts";

/** What whoever asks is told: why it is too late. */
export function tooLate(id: string, why = "it is past its point of no return"): AptOstreeError {
  return new AptOstreeError("TooLate", `cannot cancel ${id}: ${why}`);
}
