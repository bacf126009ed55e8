/** Identifiers. */
import { randomBytes } from "node:crypto";

/** A new transaction or run id: 12 lower-case hex digits, unique in practice, short enough to type, valid in an object path. */
export function newId(): string {
  return randomBytes(6).toString("hex");
}

/** Whether a string has the form of an id. */
export function isId(value: string): boolean {
  return /^[0-9a-f]{12}$/.test(value);
}
