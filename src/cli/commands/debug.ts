/** `apt-ostree debug`: what only people who look for a mistake want to see. */
import type { Context, Globals } from "../context.ts";
import { OK } from "../exit.ts";
import { isBroken, locksText } from "../locks.ts";
import { withDaemon } from "../session.ts";

/** The status where the locks broke their rules. */
const BROKEN = 1;

/** `debug locks`: holders, the waiting in order with why, the graph of who waits for whom, and whether the history is consistent. */
export async function locks(context: Context, globals: Globals, options: { readonly json?: boolean }): Promise<number> {
  const { report, status } = await withDaemon(context, globals, async (daemon) => ({
    report: await daemon.lockReport(),
    status: await daemon.status(),
  }));
  const titles = new Map(status.transactions.map(({ runId, title }) => [runId, title]));
  context.stdout.write(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : locksText(report, titles));
  return isBroken(report) ? BROKEN : OK;
}
