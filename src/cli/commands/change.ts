/** Every command that changes something: submits a request and follows it to its end. */
import type { Submission } from "../../dbus/wire.ts";
import { makeRequest, type RequestValues } from "../../model/request.ts";
import type { Kind } from "../../model/transaction.ts";
import type { Context, Globals } from "../context.ts";
import { OK } from "../exit.ts";
import { follow } from "../follow.ts";
import { Interruption } from "../interruption.ts";
import { findId } from "../lookup.ts";
import { makeProgress } from "../progress.ts";
import { report } from "../result.ts";
import { withDaemon } from "../session.ts";

/** What is asked for; `undoes` may be the start of an id. */
export type ChangeValues = Omit<RequestValues, "dryRun" | "plan" | "scriptNetwork">;

/** The options of every changing command. */
export interface ChangeOptions {
  /** False for `--no-follow`. */
  readonly follow: boolean;
  readonly json?: boolean;
  readonly unchangedExit77?: boolean;
  /** False for `--no-wait`. */
  readonly wait: boolean;
  /** Seconds. */
  readonly waitTimeout?: number;
  readonly background?: boolean;
  readonly dryRun?: boolean;
  /** The digest of a plan. */
  readonly plan?: string;
  readonly scriptNetwork?: boolean;
}

/** How the daemon knows us. */
const AGENT = "cli";

/** Submits the request, follows it and gives the exit status. What is wrong with the request is found before connecting. */
export async function change(context: Context, globals: Globals, kind: Kind, asked: ChangeValues, options: ChangeOptions): Promise<number> {
  const { dryRun = false, plan, scriptNetwork = false } = options;
  const values: RequestValues = { ...asked, dryRun, scriptNetwork, ...(plan === undefined ? {} : { plan }) };
  const { undoes } = values;
  const checked = undoes === undefined ? makeRequest(kind, values) : null;
  const json = options.json === true;
  return withDaemon(context, globals, async (daemon) => {
    // Only the daemon can complete the start of an id.
    const request = checked ?? makeRequest(kind, { ...values, undoes: await findId(daemon, undoes ?? "") });
    const submission = { ...request, ...schedulingOf(options), agent: AGENT };
    if (!options.follow) {
      const id = await daemon.submit(submission);
      context.stdout.write(json ? `${JSON.stringify({ event: "submitted", id })}\n` : `${id}\n`);
      return OK;
    }
    // Before the request is sent: a Ctrl-C while the daemon answers is for the transaction, whose id is not known yet.
    const interruption = new Interruption(context, { mayCancel: true });
    try {
      const progress = makeProgress(context, { quiet: globals.quiet, json });
      const submitted = await Promise.race([daemon.submit(submission), interruption.leave]);
      if (typeof submitted === "number") return submitted;
      progress.submitted(submitted);
      const ending = await follow(daemon, submitted, progress, interruption);
      if ("left" in ending) return ending.left;
      return report(context, ending.view, {
        silent: globals.quiet || json,
        unchangedExit77: options.unchangedExit77 === true,
        interrupted: interruption.interrupted,
      });
    } finally {
      interruption.close();
    }
  });
}

/** The keys that say how the request waits, without those that say the usual. */
function schedulingOf({ wait, waitTimeout, background }: ChangeOptions): Pick<Submission, "class" | "noWait" | "waitTimeoutMs"> {
  return {
    ...(background === true ? { class: "timer" } : {}),
    ...(wait ? {} : { noWait: true }),
    ...(waitTimeout === undefined ? {} : { waitTimeoutMs: waitTimeout * 1000 }),
  };
}
