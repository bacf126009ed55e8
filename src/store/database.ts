/** The journal's database file: opened, checked, brought to the present schema, and set aside where it is damaged. */
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import Database from "better-sqlite3";
import { AptOstreeError } from "../model/errors.ts";
import { failure, isDamage } from "./failures.ts";
import { type Migration, migration as migration0001 } from "./migrations/0001.ts";
import { migration as migration0002 } from "./migrations/0002.ts";

/** The steps of the schema, in order; the version of the last is that of this daemon. */
export const MIGRATIONS: readonly Migration[] = [migration0001, migration0002];
/** The counter that holds the greatest `readableFrom` of the steps that a journal has been through. */
const READABLE_FROM = "readable-from";
/** How long another program (sqlite3(1), a backup) may hold the database before a write gives up. */
const BUSY_TIMEOUT_MS = 5000;
/** So many of the newest transactions are looked at value by value; it is the most that is ever listed. */
const CHECKED_TRANSACTIONS = 1000;
const WAL_LIMIT_BYTES = 4 * 1024 * 1024;

/** An open database and what was found on the way. */
export interface OpenedDatabase {
  readonly db: Database.Database;
  /** Where a damaged database was moved; null where there was none. */
  readonly setAside: string | null;
}

/**
 * Opens the database at `path`, creating it and its directory where they are missing. A damaged one is moved to
 * PATH.corrupt-TIME (with its -wal and -shm, where SQLite has not merged them yet) and a new one is begun. Throws NoSpace,
 * ConfigInvalid, Busy or JournalTooNew naming the path. `steps` are those of another version, for tests.
 */
export function openDatabase(path: string, steps: readonly Migration[] = MIGRATIONS): OpenedDatabase {
  try {
    mkdirSync(dirname(path), { recursive: true });
    try {
      return { db: openSound(path, steps), setAside: null };
    } catch (error) {
      if (!isDamage(error)) throw error;
      const setAside = moveAside(path);
      const db = openSound(path, steps);
      seedEpoch(db);
      return { db, setAside };
    }
  } catch (error) {
    throw failure("open the journal", path, error);
  }
}

function openSound(path: string, steps: readonly Migration[]): Database.Database {
  const db = new Database(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    db.pragma("journal_mode = WAL");
    db.pragma("synchronous = FULL");
    db.pragma("foreign_keys = ON");
    db.pragma(`journal_size_limit = ${WAL_LIMIT_BYTES}`);
    const verdict: unknown = db.pragma("quick_check(1)", { simple: true });
    if (verdict !== "ok") throw damage(String(verdict));
    refuseTooNew(db, path, steps);
    migrate(db, steps);
    const unreadable = unreadableRows(db);
    if (unreadable.length > 0) throw damage(`${unreadable.join(", ")} cannot be read`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Known before anything is written or missed: what a newer daemon renamed would look like damage. */
function refuseTooNew(db: Database.Database, path: string, steps: readonly Migration[]): void {
  const known = steps.at(-1)?.version ?? 0;
  if (versionOf(db) <= known) return;
  const readableFrom = db.prepare<[string], number>("select value from counter where name = ?").pluck().get(READABLE_FROM) ?? 1;
  if (readableFrom <= known) return;
  const details = { path, version: versionOf(db), readableFrom, known };
  const why = `a newer apt-ostree has written it (version ${details.version} of its schema, to be read from ${readableFrom} on; this one knows ${known})`;
  throw new AptOstreeError("JournalTooNew", `cannot open the journal ${path}: ${why}`, { details });
}

/** Leaves a newer version as it is: by the rule of `migrations/0001.ts` it holds all that this version knows. */
function migrate(db: Database.Database, steps: readonly Migration[]): void {
  for (const { version, readableFrom, sql } of steps) {
    const step = db.transaction(() => {
      if (versionOf(db) >= version) return;
      db.exec(sql);
      db.pragma(`user_version = ${version}`);
      db.prepare("insert into counter (name, value) values (?, ?) on conflict (name) do update set value = max(value, excluded.value)").run(
        READABLE_FROM,
        readableFrom,
      );
    });
    step.immediate();
  }
  const missing = missingColumns(db, steps);
  if (missing.length > 0) throw damage(`version ${versionOf(db)} has no ${missing.join(", ")}`);
}

/**
 * quick_check looks at the structure only: a value that is no longer JSON would otherwise surface in the middle of a recovery or of a
 * list. A start must not take longer with a longer history, so what is older is left to whoever asks for it by its id.
 */
function unreadableRows(db: Database.Database): string[] {
  return db
    .prepare<[number], string>(
      `with newest as (select seq from tx order by seq desc limit ?),
       checked as (select seq from newest union all select seq from tx where state = 'active')
       select 'run ' || id from run
       where id in (select run_id from tx where seq in (select seq from checked) union all select id from run where ended = 0)
         and not (json_valid(request) and json_valid(facts) and json_valid(timings) and json_valid(ifnull(error, 'null')))
       union all select 'transaction ' || id from tx where seq in (select seq from checked)
         and not (json_valid(request) and json_valid(caller) and json_valid(ifnull(result, 'null')) and json_valid(ifnull(error, 'null'))
         and json_valid(ifnull(scheduling, 'null')))`,
    )
    .pluck()
    .all(CHECKED_TRANSACTIONS);
}

function versionOf(db: Database.Database): number {
  return Number(db.pragma("user_version", { simple: true }));
}

/** What the schema of this version has and the file has not, as TABLE.COLUMN. */
function missingColumns(db: Database.Database, steps: readonly Migration[]): string[] {
  const present = new Set(columnsOf(db));
  const reference = new Database(":memory:");
  try {
    for (const { sql } of steps) reference.exec(sql);
    return columnsOf(reference).filter((column) => !present.has(column));
  } finally {
    reference.close();
  }
}

function columnsOf(db: Database.Database): string[] {
  return db
    .prepare<[], string>("select t.name || '.' || c.name from pragma_table_list t, pragma_table_info(t.name) c where t.type = 'table'")
    .pluck()
    .all();
}

function damage(verdict: string): Error {
  return Object.assign(new Error(`the database is damaged: ${verdict}`), { code: "SQLITE_CORRUPT" });
}

/**
 * The database goes first: should we be killed in between, SQLite deletes the -wal it finds beside an empty new database,
 * whereas a database without its -wal would look sound and be old.
 */
function moveAside(path: string): string {
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  let target = `${path}.corrupt-${stamp}Z`;
  for (let n = 2; existsSync(target); n += 1) target = `${path}.corrupt-${stamp}Z.${n}`;
  for (const suffix of ["", "-wal", "-shm"]) {
    if (existsSync(path + suffix)) renameSync(path + suffix, target + suffix);
  }
  return target;
}

/**
 * Epochs must rise across the loss of the counter. They rise by one with each change of a sysroot, far less than once a second, so
 * the seconds since 1970 are above all that were ever given out.
 */
function seedEpoch(db: Database.Database): void {
  db.prepare("insert into counter (name, value) values ('epoch', ?)").run(Math.floor(Date.now() / 1000));
}
