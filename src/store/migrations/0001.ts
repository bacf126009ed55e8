/**
 * Step 1 of the journal's schema.
 *
 * The rule for every later step: add, never change. /var outlives a rollback, so an older daemon opens what a newer one left,
 * with a `user_version` it does not know. A step may add tables, indexes and columns (nullable or with a default); it may not
 * rename, drop, retype or give a new meaning, nor add a constraint that rows of an older daemon would break. Code names its
 * columns in every statement and so never meets what it does not know. A stored text that is a JSON value may gain keys.
 * Published steps are never edited.
 *
 * A step that cannot keep to it says so by its `readableFrom`: the journal remembers it, and older daemons refuse the journal.
 */

/** A step: the statements that lead from `version - 1` to `version`. */
export interface Migration {
  readonly version: number;
  /** The version of the oldest daemon that can still work with the journal after this step; 1 where the rule was kept. */
  readonly readableFrom: number;
  readonly sql: string;
}

/**
 * `ended` of a run is stored rather than derived from its state, so that an older daemon need not know a newer final state.
 * `seq` of a transaction is the order in which it was journalled: wall clocks jump.
 */
export const migration: Migration = {
  version: 1,
  readableFrom: 1,
  sql: `
    create table run (
      id text not null primary key,
      request text not null,
      state text not null,
      ended integer not null,
      facts text not null,
      timings text not null,
      error text,
      cancel_requested integer not null,
      resumed integer not null,
      boot_id text not null,
      created_ms integer not null,
      updated_ms integer not null
    ) strict;
    create index run_unfinished on run (created_ms) where ended = 0;

    create table tx (
      seq integer primary key,
      id text not null unique,
      run_id text not null references run (id),
      request text not null,
      caller text not null,
      created_ms integer not null,
      ended_ms integer not null,
      state text not null,
      result text,
      error text
    ) strict;
    create index tx_run on tx (run_id);
    create index tx_active on tx (run_id) where state = 'active';

    create table step (
      seq integer primary key,
      run_id text not null references run (id) on delete cascade,
      stage text not null,
      phase text not null,
      at_ms integer not null
    ) strict;
    create index step_run on step (run_id);

    create table message (
      run_id text not null references run (id) on delete cascade,
      seq integer not null,
      at_ms integer not null,
      level text not null,
      text text not null,
      primary key (run_id, seq)
    ) strict, without rowid;

    create table counter (
      name text not null primary key,
      value integer not null
    ) strict, without rowid;
  `,
};
