import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import type { Worker } from "node:worker_threads";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newId } from "../../src/model/ids.ts";
import { makeRequest } from "../../src/model/request.ts";
import { DEFAULT_SCHEDULING, type RunMessage } from "../../src/model/transaction.ts";
import type { RunRow, StepRow, TransactionRow } from "../../src/scheduler/ports.ts";
import { openJournal, type SqliteJournal, startWorker } from "../../src/store/journal.ts";

const COMPILED = new URL("../../dist/src/store/journal.js", import.meta.url).href;
const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31);

let directory: string;
let path: string;
let journals: SqliteJournal[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "journal-"));
  path = join(directory, "state", "journal.db");
  journals = [];
});

afterEach(async () => {
  await Promise.all(journals.map((journal) => journal.close()));
  rmSync(directory, { recursive: true });
});

async function open(): Promise<SqliteJournal> {
  const journal = await openJournal(path);
  journals.push(journal);
  return journal;
}

function makeRun(values: Partial<RunRow> = {}): RunRow {
  return {
    id: newId(),
    request: makeRequest("install", { packages: ["nginx", "vim"] }),
    state: "queued",
    facts: {},
    timings: [],
    error: null,
    cancelRequested: false,
    resumed: 0,
    bootId: "8f8c2f6e-0000-4000-8000-000000000001",
    createdMs: 1_700_000_000_000,
    updatedMs: 1_700_000_000_000,
    ...values,
  };
}

function makeTransaction(run: RunRow, values: Partial<TransactionRow> = {}): TransactionRow {
  return {
    id: newId(),
    runId: run.id,
    request: run.request,
    caller: { sender: ":1.7", uid: 0, pid: 4711, agent: "cli" },
    scheduling: DEFAULT_SCHEDULING,
    createdMs: run.createdMs,
    endedMs: 0,
    state: "active",
    result: null,
    error: null,
    ...values,
  };
}

async function add(
  journal: SqliteJournal,
  runValues: Partial<RunRow> = {},
  values: Partial<TransactionRow> = {},
): Promise<{ run: RunRow; row: TransactionRow }> {
  const run = makeRun(runValues);
  const row = makeTransaction(run, values);
  await journal.create(row, run);
  return { run, row };
}

const line = (seq: number, text = `line ${seq}`): RunMessage => ({ seq, atMs: 1_700_000_000_000 + seq, level: "info", text });

describe("what is remembered", () => {
  it("comes back whole after closing and opening again", async () => {
    const journal = await open();
    expect(journal.setAside).toBeNull();
    const { run, row } = await add(journal);
    const later: RunRow = {
      ...run,
      state: "deploying",
      facts: {
        listsGeneration: "7",
        layer: { commit: "c0ffee", packages: [{ name: "nginx", architecture: "amd64", version: "1.26" }], cached: true },
      },
      timings: [{ stage: "planning", waitedMs: 1, tookMs: 400, cached: false }],
      error: { code: "Conflict", message: "cannot deploy: the sysroot changed", details: { epoch: 3 } },
      cancelRequested: true,
      resumed: 2,
      updatedMs: run.updatedMs + 5,
    };
    const step: StepRow = { runId: run.id, stage: "deploying", phase: "intent", atMs: 1_700_000_000_005 };
    await journal.updateRun(later, step);
    const ended: TransactionRow = {
      ...row,
      state: "finished",
      endedMs: 1_700_000_000_009,
      result: { changed: true, commit: "c0ffee", staged: true, diff: [], timings: later.timings, summary: "installed nginx" },
    };
    await journal.endTransactions([ended]);
    await journal.addMessages(run.id, [line(1), line(2, "zeile 2: \u00e4\u00f6\u00fc")]);
    await journal.close();

    const again = await open();
    expect(await again.transaction(row.id)).toEqual({ row: ended, run: later });
    expect(await again.steps(run.id)).toEqual([step]);
    expect(await again.messages(run.id, 0)).toEqual([line(1), line(2, "zeile 2: \u00e4\u00f6\u00fc")]);
    expect(await again.transaction(newId())).toBeNull();
  });

  it("counts epochs on across restarts", async () => {
    const journal = await open();
    expect([await journal.nextEpoch(), await journal.nextEpoch()]).toEqual([1, 2]);
    await journal.close();
    expect(await (await open()).nextEpoch()).toBe(3);
  });

  it("lists the newest transactions first, in the order they were journalled whatever the clock said", async () => {
    const journal = await open();
    const first = await add(journal, {}, { createdMs: 9 });
    const second = await add(journal, {}, { createdMs: 5 });
    const joined = makeTransaction(first.run);
    await journal.create(joined, first.run);
    expect((await journal.transactions(10)).map(({ row }) => row.id)).toEqual([joined.id, second.row.id, first.row.id]);
    expect((await journal.transactions(1)).map(({ run }) => run.id)).toEqual([first.run.id]);
  });

  it("shows messages at once to who reads them, and each sequence number once", async () => {
    const journal = await open();
    const { run } = await add(journal);
    const added = [journal.addMessages(run.id, [line(1), line(2)]), journal.addMessages(run.id, [line(2, "told twice"), line(3)])];
    expect(await journal.messages(run.id, 1)).toEqual([line(2), line(3)]);
    await Promise.all(added);
  });

  it("keeps messages that nothing forced to the disk before closing", async () => {
    const journal = await open();
    const { run } = await add(journal);
    const { commits } = journal.counters;
    await journal.addMessages(run.id, [line(1)]);
    const last = journal.addMessages(run.id, [line(2)]);
    await journal.close();
    await last;
    expect(journal.counters.commits).toBe(commits + 1);
    expect(await (await open()).messages(run.id, 0)).toHaveLength(2);
  });

  it("writes messages by itself when no other write comes along", async () => {
    const journal = await open();
    const { run } = await add(journal);
    await journal.addMessages(run.id, [line(1)]);
    const reader = new Database(path, { readonly: true });
    try {
      await expect.poll(() => reader.prepare("select text from message").pluck().all()).toEqual(["line 1"]);
    } finally {
      reader.close();
    }
  });
});

describe("after a crash", () => {
  it("lists the runs that have not ended and the transactions that nobody was told the end of", async () => {
    const journal = await open();
    const waiting = await add(journal);
    const joined = makeTransaction(waiting.run);
    const left = makeTransaction(waiting.run, { state: "cancelled", endedMs: 5 });
    await journal.create(joined, waiting.run);
    await journal.create(left, waiting.run);
    const abandoned = await add(journal, { state: "cleaning" }, { state: "cancelled" });
    const untold = await add(journal, { state: "finished" });
    await add(journal, { state: "finished" }, { state: "finished" });
    await add(journal, { state: "failed" }, { state: "failed" });
    await journal.close();
    const found = await (await open()).unfinished();
    expect(found.map(({ run, transactions }) => [run.id, transactions.map(({ id }) => id)])).toEqual([
      [waiting.run.id, [waiting.row.id, joined.id]],
      [abandoned.run.id, []],
      [untold.run.id, [untold.row.id]],
    ]);
    expect(found[0]?.run).toEqual(waiting.run);
  });

  it("has lost nothing it acknowledged, in twenty rounds of SIGKILL", async () => {
    const script = `
      const { openJournal } = await import(${JSON.stringify(COMPILED)});
      const { randomBytes } = await import("node:crypto");
      const journal = await openJournal(process.argv[1]);
      const template = JSON.parse(process.argv[2]);
      for (;;) await Promise.all(Array.from({ length: 8 }, async () => {
        const run = { ...template.run, id: randomBytes(6).toString("hex") };
        const row = { ...template.row, id: run.id, runId: run.id };
        await journal.create(row, run);
        await journal.updateRun({ ...run, state: "planning" }, { runId: run.id, stage: "planning", phase: "intent", atMs: 1 });
        process.stdout.write(run.id + "\\n");
      }));`;
    const run = makeRun();
    const template = JSON.stringify({ run, row: makeTransaction(run) });
    const acknowledged: string[] = [];
    let random = SEED;
    for (let round = 0; round < 20; round += 1) {
      const child = spawn(process.execPath, ["--input-type=module", "-e", script, path, template], { stdio: ["ignore", "pipe", "inherit"] });
      const before = acknowledged.length;
      createInterface({ input: child.stdout }).on("line", (id) => acknowledged.push(id));
      const closed = once(child, "close");
      await expect.poll(() => acknowledged.length > before || child.exitCode !== null, { timeout: 60_000, interval: 5 }).toBe(true);
      random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
      await new Promise((resolve) => setTimeout(resolve, random % 60));
      child.kill("SIGKILL");
      await closed;
    }
    const journal = await open();
    expect(journal.setAside).toBeNull();
    const states = new Map((await journal.unfinished()).map(({ run: found }) => [found.id, found.state]));
    expect(
      acknowledged.filter((id) => states.get(id) !== "planning" && /^[0-9a-f]{12}$/.test(id)),
      `seed ${SEED}`,
    ).toEqual([]);
    expect(acknowledged.length).toBeGreaterThanOrEqual(20);
  });

  it("opens with the rows before the cut when its write-ahead log was cut short", async () => {
    const ids = await crashAfterWriting(10);
    const wal = `${path}-wal`;
    const fd = openSync(wal, "r+");
    ftruncateSync(fd, Math.floor(statSync(wal).size / 2) + 100);
    closeSync(fd);
    const journal = await open();
    expect(journal.setAside).toBeNull();
    const kept = (await journal.transactions(100)).map(({ row }) => row.id).reverse();
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.length).toBeLessThan(10);
    expect(kept).toEqual(ids.slice(0, kept.length));
    await add(journal);
  });
});

/** Lets a child journal so many transactions, one commit each, and kills it: everything is in the -wal then. */
async function crashAfterWriting(count: number): Promise<string[]> {
  const runs = Array.from({ length: count }, () => makeRun());
  const rows = runs.map((run) => ({ run, row: makeTransaction(run) }));
  const script = `
    const { openJournal } = await import(${JSON.stringify(COMPILED)});
    const journal = await openJournal(process.argv[1]);
    for (const { row, run } of JSON.parse(process.argv[2])) await journal.create(row, run);
    process.kill(process.pid, "SIGKILL");`;
  const child: ChildProcess = spawn(process.execPath, ["--input-type=module", "-e", script, path, JSON.stringify(rows)], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const [, signal] = await once(child, "close");
  expect(signal).toBe("SIGKILL");
  return rows.map(({ row }) => row.id);
}

describe("a damaged database", () => {
  async function expectSetAside(): Promise<SqliteJournal> {
    const journal = await open();
    expect(journal.setAside).toMatch(/journal\.db\.corrupt-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(\.\d)?$/);
    expect(existsSync(journal.setAside ?? "")).toBe(true);
    expect(await journal.unfinished()).toEqual([]);
    await add(journal);
    return journal;
  }

  it("is set aside and reported, and a new one is begun whose epochs are above the old ones", async () => {
    const journal = await open();
    const { row } = await add(journal);
    const epoch = await journal.nextEpoch();
    await journal.close();
    writeFileSync(path, "this is no database, whatever its name says\n".repeat(400));
    const fresh = await expectSetAside();
    expect(await fresh.transaction(row.id)).toBeNull();
    expect(await fresh.nextEpoch()).toBeGreaterThan(epoch + 1000);
    expect(readFileSync(fresh.setAside ?? "", "utf8")).toContain("this is no database");
    await fresh.close();
    const again = await open();
    expect([again.setAside, (await again.unfinished()).length]).toEqual([null, 1]);
  });

  it("is recognised when pages in its middle were overwritten", async () => {
    const journal = await open();
    await Promise.all(Array.from({ length: 200 }, () => add(journal)));
    await journal.close();
    const fd = openSync(path, "r+");
    writeSync(fd, Buffer.alloc(statSync(path).size - 8192, 0xa5), 0, undefined, 8192);
    closeSync(fd);
    await expectSetAside();
  });

  it("is recognised when it was cut off", async () => {
    const journal = await open();
    await Promise.all(Array.from({ length: 200 }, () => add(journal)));
    await journal.close();
    const fd = openSync(path, "r+");
    ftruncateSync(fd, 5000);
    closeSync(fd);
    await expectSetAside();
  });

  it("is recognised by a row that cannot be read and by a table that is gone", async () => {
    for (const harm of ["update run set facts = '{\"plan\":'", "drop table step"]) {
      const journal = await open();
      await add(journal);
      await journal.close();
      const db = new Database(path);
      db.exec(harm);
      db.close();
      await (await expectSetAside()).close();
    }
  });

  it("is looked for in the newest thousand and in all that has not ended; an older row is refused when somebody asks for it", async () => {
    const journal = await open();
    const ended = { state: "finished" } as const;
    const [old, active] = [await add(journal, ended, ended), await add(journal)];
    await Promise.all(Array.from({ length: 1000 }, () => add(journal, ended, ended)));
    await journal.close();
    const harm = (id: string): void => {
      const db = new Database(path);
      db.prepare("update tx set request = '{' where id = ?").run(id);
      db.close();
    };
    harm(old.row.id);
    const again = await open();
    expect(again.setAside).toBeNull();
    expect(await again.transactions(1000)).toHaveLength(1000);
    await expect(again.transaction(old.row.id)).rejects.toMatchObject({ code: "JournalCorrupt" });
    await again.close();
    harm(active.row.id);
    await (await expectSetAside()).close();
  });

  it("takes along what was only in its write-ahead log, and leaves nothing of it to the new one", async () => {
    const journal = await open();
    await Promise.all(Array.from({ length: 200 }, () => add(journal)));
    await journal.close();
    const [last] = (await crashAfterWriting(1)) as [string];
    const fd = openSync(path, "r+");
    writeSync(fd, Buffer.alloc(16384, 0xa5), 0, undefined, 8192);
    closeSync(fd);
    const setAside = basename((await expectSetAside()).setAside ?? "");
    const names = readdirSync(join(directory, "state"));
    const [kept, fresh] = [names.filter((name) => name.startsWith(setAside)), names.filter((name) => !name.startsWith(setAside))];
    const holding = (files: string[]): string[] => files.filter((name) => readFileSync(join(directory, "state", name)).includes(last));
    expect(holding(kept)).not.toEqual([]);
    expect(holding(fresh)).toEqual([]);
    expect(fresh.sort()).toEqual(["journal.db", "journal.db-shm", "journal.db-wal"]);
  });
});

describe("many at once", () => {
  it("a thousand transactions are journalled in far fewer commits", async () => {
    const journal = await open();
    const before = journal.counters;
    await Promise.all(Array.from({ length: 1000 }, () => add(journal)));
    const { calls, commits } = journal.counters;
    expect(calls - before.calls).toBe(1000);
    expect(commits - before.commits).toBeGreaterThan(0);
    expect(commits - before.commits).toBeLessThan(100);
    expect(await journal.transactions(2000)).toHaveLength(1000);
  });

  it("a call that is refused fails alone", async () => {
    const journal = await open();
    const { run, row } = await add(journal);
    const stranger = makeRun();
    const good = makeRun();
    const results = await Promise.allSettled([
      journal.nextEpoch(),
      journal.create(makeTransaction(run, { id: row.id }), run),
      journal.regroup([], [makeTransaction(stranger)]),
      journal.create(makeTransaction(good, { id: row.id }), good),
      journal.updateRun(stranger),
      journal.endTransactions([makeTransaction(run)]),
      journal.updateRun({ ...run, state: "planning" }),
    ]);
    expect(results.map((result) => (result.status === "rejected" ? result.reason.code : "done"))).toEqual([
      "done",
      "Internal",
      "NotFound",
      "Internal",
      "NotFound",
      "NotFound",
      "done",
    ]);
    expect((await journal.unfinished()).map((found) => [found.run.id, found.run.state])).toEqual([[run.id, "planning"]]);
  });

  it("a read sees the writes that were asked for before it", async () => {
    const journal = await open();
    const { run, row } = await add(journal);
    const [, seen] = await Promise.all([journal.updateRun({ ...run, state: "downloading" }), journal.transaction(row.id)]);
    expect(seen?.run.state).toBe("downloading");
  });
});

describe("trimming", () => {
  it("keeps the newest that ended, all that have not, and every run somebody still refers to", async () => {
    const journal = await open();
    const shared = await add(journal, { state: "finished" }, { state: "finished" });
    const alone = await add(journal, { state: "finished" }, { state: "finished" });
    await journal.updateRun(alone.run, { runId: alone.run.id, stage: "planning", phase: "done", atMs: 1 });
    await journal.updateRun(shared.run, { runId: shared.run.id, stage: "planning", phase: "done", atMs: 1 });
    await journal.addMessages(alone.run.id, [line(1)]);
    const active = await add(journal);
    const cleaning = await add(journal, { state: "cleaning" }, { state: "cancelled" });
    const newest = makeTransaction(shared.run, { state: "finished" });
    await journal.create(newest, shared.run);
    await journal.trim(1);
    expect((await journal.transactions(10)).map(({ row }) => row.id)).toEqual([newest.id, active.row.id]);
    expect((await journal.unfinished()).map(({ run }) => run.id)).toEqual([active.run.id, cleaning.run.id]);
    expect(await journal.steps(shared.run.id)).toHaveLength(1);
    expect(await journal.steps(alone.run.id)).toEqual([]);
    await journal.addMessages(alone.run.id, [line(2)]);
    expect(await journal.messages(alone.run.id, 0)).toEqual([]);
    await journal.trim(0);
    expect((await journal.transactions(10)).map(({ row }) => row.id)).toEqual([active.row.id]);
  });
});

describe("an older daemon", () => {
  it("works with what a newer one left, and leaves it as new as it was", async () => {
    const journal = await open();
    const { run, row } = await add(journal);
    await journal.close();
    const newer = new Database(path);
    newer.exec(`
      alter table run add column priority text not null default 'interactive';
      alter table tx add column authority text;
      create table audit (id integer primary key, text text) strict;
      update run set priority = 'background';
      update tx set caller = json_set(caller, '$.groups', json('[27]'));`);
    newer.pragma("user_version = 7");
    newer.close();
    const older = await open();
    expect(older.setAside).toBeNull();
    expect((await older.transaction(row.id))?.run).toEqual(run);
    await older.updateRun({ ...run, state: "finished" }, { runId: run.id, stage: "planning", phase: "done", atMs: 1 });
    await older.endTransactions([{ ...row, state: "finished" }]);
    await add(older);
    await older.close();
    const check = new Database(path, { readonly: true });
    expect(check.pragma("user_version", { simple: true })).toBe(7);
    expect(check.prepare("select priority from run order by created_ms, rowid").pluck().all()).toEqual(["background", "interactive"]);
    check.close();
  });
});

describe("when it cannot go on", () => {
  it("rejects what is pending and all that follows when its thread dies", async () => {
    let worker: Worker | undefined;
    const journal = await openJournal(path, {
      startWorker: (data) => {
        worker = startWorker(data);
        return worker;
      },
    });
    await add(journal);
    const pending = Array.from({ length: 200 }, () => add(journal));
    await worker?.terminate();
    const results = await Promise.allSettled(pending);
    expect(results.filter((result) => result.status === "rejected").length).toBeGreaterThan(0);
    for (const result of results) if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "Internal", details: { path } });
    await expect(journal.nextEpoch()).rejects.toMatchObject({ code: "Internal", message: expect.stringContaining("its thread ended") });
    await journal.close();
  });

  it("refuses calls after it was closed, and closes once", async () => {
    const journal = await open();
    const row = add(journal);
    await Promise.all([journal.close(), journal.close()]);
    await row;
    await expect(journal.nextEpoch()).rejects.toMatchObject({ code: "Internal", message: expect.stringContaining("closed") });
  });

  it("names a path that cannot be", async () => {
    writeFileSync(join(directory, "state"), "a file");
    await expect(openJournal(path)).rejects.toMatchObject({ code: "ConfigInvalid", message: expect.stringContaining(path), details: { path } });
  });

  const inNamespace = promisify(execFile);
  /** Runs a script beside a journal on a file system of its own, that nobody else sees and that goes with it. */
  async function onTmpfs(options: string, script: string): Promise<unknown> {
    const program = `
      const { openJournal } = await import(${JSON.stringify(COMPILED)});
      const { execFileSync } = await import("node:child_process");
      const { readdirSync, rmSync, writeFileSync } = await import("node:fs");
      const [directory, template] = [process.argv[1], JSON.parse(process.argv[2])];
      const codeOf = (promise) => promise.then(() => "done", (error) => error.code + ": " + error.message);
      ${script}`;
    const run = makeRun();
    const template = JSON.stringify({ run, row: makeTransaction(run) });
    const command = 'mount -t tmpfs -o "$1" tmpfs "$2" && exec "$3" --input-type=module -e "$4" "$2" "$5"';
    const args = ["--mount", "--propagation", "private", "sh", "-c", command, "sh", options, directory, process.execPath, program, template];
    const { stdout } = await inNamespace("unshare", args, { timeout: 120_000, killSignal: "SIGKILL" });
    return JSON.parse(stdout);
  }

  it("says that the disk is full, answers reads meanwhile, and goes on when there is room again", async () => {
    const answers = await onTmpfs(
      "size=600k",
      `
      const { run, row } = template;
      const journal = await openJournal(directory + "/journal.db");
      await journal.create(row, run);
      writeFileSync(directory + "/ballast", Buffer.alloc(300 * 1024));
      let full = "done";
      for (let n = 0; n < 500 && full === "done"; n += 1)
        full = await codeOf(journal.updateRun({ ...run, resumed: n, facts: { listsGeneration: "x".repeat(20000) } }));
      await journal.addMessages(run.id, [{ seq: 1, atMs: 1, level: "info", text: "still heard" }]);
      const write = codeOf(journal.nextEpoch());
      const read = await journal.transaction(row.id);
      const again = await write;
      rmSync(directory + "/ballast");
      const epoch = await journal.nextEpoch();
      const messages = await journal.messages(run.id, 0);
      await journal.close();
      console.log(JSON.stringify({ full, again, read: read.row.id === row.id, epoch, messages: messages.length }));`,
    );
    const noSpace = `NoSpace: cannot use the journal ${directory}/journal.db: the file system is full`;
    expect(answers).toEqual({ full: noSpace, again: expect.stringMatching(/done|NoSpace/), read: true, epoch: expect.any(Number), messages: 1 });
  });

  it("says that the disk is full where there is no room to begin with", async () => {
    const answer = await onTmpfs("size=16k", `console.log(JSON.stringify(await codeOf(openJournal(directory + "/journal.db"))));`);
    expect(answer).toBe(`NoSpace: cannot open the journal ${directory}/journal.db: the file system is full`);
  });

  it("names a directory that is read-only, with a journal in it or without", async () => {
    const answers = (await onTmpfs(
      "size=4m",
      `
      await (await openJournal(directory + "/journal.db")).close();
      execFileSync("mount", ["-o", "remount,ro", directory]);
      const there = await codeOf(openJournal(directory + "/journal.db"));
      const absent = await codeOf(openJournal(directory + "/state/journal.db"));
      console.log(JSON.stringify([there, absent, readdirSync(directory)]));`,
    )) as [string, string, string[]];
    expect(answers[0]).toContain(`ConfigInvalid: cannot open the journal ${directory}/journal.db:`);
    expect(answers[1]).toContain(`ConfigInvalid: cannot open the journal ${directory}/state/journal.db:`);
    expect(answers[2]).toEqual(["journal.db"]);
  });
});
