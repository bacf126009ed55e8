/** Step 2 of the journal's schema: how a transaction waits. Null where an older daemon wrote the row: a person, for as long as it takes. */
import type { Migration } from "./0001.ts";

/** See `0001.ts` for what a step may do. */
export const migration: Migration = {
  version: 2,
  readableFrom: 1,
  sql: "alter table tx add column scheduling text;",
};
