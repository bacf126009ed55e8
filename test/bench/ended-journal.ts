/** A journal with a long history, written in one commit. */
import { join } from "node:path";
import { newId } from "../../src/model/ids.ts";
import { DEFAULT_SCHEDULING, STAGES_OF, type StageTiming } from "../../src/model/transaction.ts";
import { newRunRow, newTransactionRow } from "../../src/scheduler/rows.ts";
import { openDatabase } from "../../src/store/database.ts";
import { Tables } from "../../src/store/tables.ts";
import { BENCH_BOOT_ID, callerOf, prefetchOf } from "./scheduler-bench.ts";

/** Fills a new journal in the directory with transactions that have ended well. */
export function fillJournal(directory: string, count: number): void {
  const { db } = openDatabase(join(directory, "journal.db"));
  const tables = new Tables(db);
  const timings: StageTiming[] = STAGES_OF.prefetch.map((stage) => ({ stage, waitedMs: 0.25, tookMs: 12.5, cached: false }));
  const outcome = { changed: true, commit: "", staged: false, diff: [], summary: "1 archive is there" };
  db.transaction(() => {
    for (let n = 0; n < count; n += 1) {
      const [id, runId, createdMs, request] = [newId(), newId(), Date.now(), prefetchOf(n)];
      const run = newRunRow(request, id, { id: runId, nowMs: createdMs, bootId: BENCH_BOOT_ID });
      const row = newTransactionRow({ id, runId, request, caller: callerOf(n % 50), scheduling: DEFAULT_SCHEDULING, createdMs });
      const result = { changed: true, commit: "", staged: false, diff: [], timings, summary: outcome.summary };
      tables.create(
        { ...row, state: "finished", result, endedMs: createdMs + 40 },
        { ...run, state: "finished", timings, facts: { ...run.facts, outcome } },
      );
    }
  })();
  db.close();
}
