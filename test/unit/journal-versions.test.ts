/** A journal outlives a rollback of the daemon: what a newer one left is worked with by an older one, or refused by name. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newId } from "../../src/model/ids.ts";
import { makeRequest } from "../../src/model/request.ts";
import { DEFAULT_SCHEDULING } from "../../src/model/transaction.ts";
import { newRunRow, newTransactionRow } from "../../src/scheduler/rows.ts";
import { MIGRATIONS, openDatabase } from "../../src/store/database.ts";
import { openJournal } from "../../src/store/journal.ts";
import type { Migration } from "../../src/store/migrations/0001.ts";

const CALLER = { sender: ":1.7", uid: 0, pid: 4711, agent: "cli" };
const NEWEST = MIGRATIONS.length;

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "versions-"));
  path = join(directory, "journal.db");
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A journal of this version with one run that has not ended; the id of its transaction. */
async function writeJournal(): Promise<string> {
  const journal = await openJournal(path);
  const id = newId();
  const request = makeRequest("install", { packages: ["vim"] });
  const run = newRunRow(request, id, { id: newId(), nowMs: 1, bootId: "boot" });
  await journal.create(newTransactionRow({ id, runId: run.id, request, caller: CALLER, scheduling: DEFAULT_SCHEDULING, createdMs: 1 }), run);
  await journal.updateRun({ ...run, state: "planning" }, { runId: run.id, stage: "planning", phase: "intent", atMs: 2 });
  await journal.close();
  return id;
}

/** The columns that a daemon of the version knows, by table. */
function columnsAt(version: number): Map<string, string[]> {
  const db = new Database(":memory:");
  for (const { sql } of MIGRATIONS.slice(0, version)) db.exec(sql);
  const rows = db
    .prepare<[], { table: string; column: string }>(
      `select t.name as "table", c.name as "column" from pragma_table_list t, pragma_table_info(t.name) c where t.type = 'table' and t.name not like 'sqlite%'`,
    )
    .all();
  db.close();
  const tables = new Map<string, string[]>();
  for (const { table, column } of rows) tables.set(table, [...(tables.get(table) ?? []), column]);
  return tables;
}

/** What a step that changes what was there does. */
const BREAKING: Migration = { version: NEWEST + 1, readableFrom: NEWEST + 1, sql: "alter table run rename column boot_id to boot;" };

describe("a daemon of an older version", () => {
  for (let version = 1; version < NEWEST; version += 1) {
    const readable = MIGRATIONS.every(({ readableFrom }) => readableFrom <= version);
    it(`${version} ${readable ? "works with" : "refuses"} a journal of version ${NEWEST}`, async () => {
      const id = await writeJournal();
      const older = MIGRATIONS.slice(0, version);
      if (!readable) {
        expect(() => openDatabase(path, older)).toThrow(expect.objectContaining({ code: "JournalTooNew" }));
        return;
      }
      const { db, setAside } = openDatabase(path, older);
      expect(setAside).toBeNull();
      const columns = columnsAt(version);
      const [before] = db.prepare(`select ${columns.get("run")?.join()} from run`).all() as Record<string, unknown>[];
      expect(before).toMatchObject({ state: "planning", ended: 0 });
      // It writes rows of its own, which name no column that it does not know.
      for (const [table, changed] of [
        ["run", { id: "0123456789ab", state: "queued" }],
        ["tx", { id: "ba9876543210", run_id: "0123456789ab", seq: null }],
      ] as const) {
        const names = columns.get(table) ?? [];
        const template = db.prepare(`select ${names.join()} from ${table} limit 1`).get() as Record<string, unknown>;
        db.prepare(`insert into ${table} (${names.join()}) values (${names.map((name) => `@${name}`).join()})`).run({ ...template, ...changed });
      }
      expect(db.pragma("user_version", { simple: true })).toBe(NEWEST);
      db.close();

      const newer = await openJournal(path);
      expect(newer.setAside).toBeNull();
      const ids = (await newer.unfinished()).flatMap(({ transactions }) => transactions.map((row) => row.id));
      expect(ids.toSorted()).toEqual([id, "ba9876543210"].toSorted());
      expect((await newer.transaction("ba9876543210"))?.row.request.packages).toEqual(["vim"]);
      await newer.close();
    });
  }

  it("refuses by name a journal that it cannot read, and leaves it as it is", async () => {
    await writeJournal();
    openDatabase(path, [...MIGRATIONS, BREAKING]).db.close();
    const before = readFileSync(path);
    await expect(openJournal(path)).rejects.toMatchObject({
      code: "JournalTooNew",
      message: expect.stringContaining(path),
      details: { version: NEWEST + 1, readableFrom: NEWEST + 1, known: NEWEST },
    });
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it("refuses it still after a later step that keeps to the rule", async () => {
    const later: Migration = { version: NEWEST + 2, readableFrom: 1, sql: "alter table run add column colour text;" };
    openDatabase(path, [...MIGRATIONS, BREAKING, later]).db.close();
    await expect(openJournal(path)).rejects.toMatchObject({ code: "JournalTooNew" });
  });
});
