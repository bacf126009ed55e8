/** The journal as the disk has it: read beside the daemon, never written. */
import { join } from "node:path";
import Database from "better-sqlite3";
import type { SandboxHost } from "../../src/sandbox/host.ts";

/** The path of a host's journal, on this machine. */
export function journalOf({ layout }: SandboxHost): string {
  return join(layout.stateVar, "lib/apt-ostree/journal.db");
}

/** The last epoch that was given out. */
export function storedEpoch(host: SandboxHost): number {
  const [row] = rowsOf(host, "select value from counter where name = 'epoch'");
  return Number(row?.value ?? 0);
}

/** The newest transactions with their runs and steps, a line each: evidence for people. */
export function newestRows(host: SandboxHost, limit: number): string[] {
  const rows = rowsOf(
    host,
    `select tx.id, tx.run_id, tx.state, tx.error, run.state as run_state, run.resumed, run.cancel_requested, tx.request ->> 'kind' as kind, tx.request ->> 'packages' as packages,
     (select group_concat(stage || ' ' || phase, ', ') from (select stage, phase from step where step.run_id = run.id order by seq)) as steps
     from tx join run on run.id = tx.run_id order by tx.seq desc limit ${limit}`,
  );
  return rows.map((row) => JSON.stringify(row));
}

function rowsOf(host: SandboxHost, sql: string): Record<string, unknown>[] {
  const db = new Database(journalOf(host), { readonly: true, fileMustExist: true });
  try {
    return db.prepare(sql).all() as Record<string, unknown>[];
  } finally {
    db.close();
  }
}
