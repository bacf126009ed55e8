/** Taking up what a dead daemon left: each run is finished, undone or forgotten, and each transaction is answered. */
import { AptOstreeError, toErrorValue } from "../model/errors.ts";
import { isKnown } from "../model/request.ts";
import { isFinal } from "../model/transaction.ts";
import type { Admission } from "./admission.ts";
import { isServed } from "./board.ts";
import type { Endings } from "./endings.ts";
import { combineAll } from "./meetings.ts";
import type { Member } from "./members.ts";
import type { Engines, Journal, RunRow, TransactionRow } from "./ports.ts";
import { endErrorOf } from "./rows.ts";
import type { Run } from "./run.ts";
import type { RunDeps } from "./run-deps.ts";

/** What recovery needs of the scheduler. */
export interface RecoveryParts {
  readonly journal: Journal;
  readonly engines: Engines;
  readonly log: RunDeps["log"];
  readonly admission: Admission;
  readonly endings: Endings;
  readonly makeRun: (row: RunRow, transactionId: string) => Run;
  readonly adopt: (row: TransactionRow, run: Run) => Member;
  readonly onResumed: () => void;
}

/** Takes up everything that the journal has unfinished; resolves when all of it is known again, and what was at work begins. */
export async function recover(parts: RecoveryParts): Promise<void> {
  const found: { run: Run; members: Member[] }[] = [];
  for (const { run, transactions } of await parts.journal.unfinished()) {
    const taken = await resume(parts, run, transactions);
    if (taken !== null) found.push(taken);
  }
  // A deployment that was begun comes before whatever could change the sysroot under it; what had not begun waits its turn again.
  const rank = ({ run }: { run: Run }): number => (isDeploying(run.row) ? 0 : run.row.state === "queued" ? 2 : 1);
  for (const { run, members } of found.toSorted((a, b) => rank(a) - rank(b))) {
    parts.admission.add(run);
    if (run.row.state !== "queued" || run.row.cancelRequested) parts.admission.resume(run);
    else parts.admission.enqueue(run, { uid: members[0]?.row.caller.uid ?? 0 });
  }
}

/** A run of the journal, ready to go on; null where only its transactions, or nobody any more, had to be told of its end. */
async function resume(parts: RecoveryParts, found: RunRow, transactions: readonly TransactionRow[]): Promise<{ run: Run; members: Member[] } | null> {
  const { journal, log } = parts;
  if (isFinal(found.state)) {
    const run = parts.makeRun(found, found.facts.transactionId ?? "");
    for (const row of transactions) await parts.endings.end(parts.adopt(row, run), found.state, endErrorOf(found));
    run.abandon();
    return null;
  }
  const foreign = [found, ...transactions].some(({ request }) => !isKnown(request));
  if (foreign) return await endForeign(parts, found, transactions);
  const begun = found.state !== "queued";
  const row = await cleanFirst(parts, { ...found, resumed: found.resumed + (begun ? 1 : 0) });
  const [first] = transactions;
  if (first === undefined) {
    await journal.updateRun({ ...row, state: "cancelled" });
    return null;
  }
  const wanted = combineAll(transactions.map((transaction) => transaction.request)) ?? row.request;
  const run = parts.makeRun({ ...row, request: isDeploying(row) ? row.request : wanted }, row.facts.transactionId ?? first.id);
  await journal.updateRun(run.row);
  run.messages.begin(await journal.messages(row.id, 0));
  const members = transactions.map((transaction) => parts.adopt(transaction, run));
  const done = new Set(row.timings.map(({ stage }) => stage));
  for (const member of members) if ([...done].some((stage) => isServed(member, stage))) await parts.endings.end(member, "finished", null);
  if (begun) parts.onResumed();
  log.info({ run: row.id, state: row.state, resumed: row.resumed }, "run taken up again");
  return { run, members };
}

/** Ends what a newer daemon was asked for, and this one does not understand: nothing of it is carried out by guess. */
async function endForeign(parts: RecoveryParts, found: RunRow, transactions: readonly TransactionRow[]): Promise<null> {
  const { journal, log } = parts;
  await cleanFirst(parts, found);
  const id = transactions[0]?.id ?? found.id;
  const why = "a newer apt-ostreed was asked for what this one does not know; ask this one";
  const error = new AptOstreeError("JournalTooNew", `cannot take up transaction ${id}: ${why}`).toValue();
  await journal.endRun(
    { ...found, state: "failed", error },
    [],
    transactions.map((row) => ({ ...row, state: "failed" as const, error, endedMs: Date.now() })),
  );
  log.error({ run: found.id, transaction: id }, why);
  return null;
}

/** Removes what the dead daemon left of a run. Where that cannot be, the run fails; the daemon serves all the same. */
async function cleanFirst({ engines, log }: RecoveryParts, row: RunRow): Promise<RunRow> {
  try {
    await engines.clean(row.id);
    return row;
  } catch (error) {
    log.error({ run: row.id, err: error }, "cannot clean up after a run");
    return { ...row, state: isDeploying(row) ? "rollingBack" : "cleaning", error: row.error ?? toErrorValue(error) };
  }
}

function isDeploying(row: RunRow): boolean {
  return row.state === "deploying" || row.state === "rollingBack";
}
