/** What a transaction did, as text and as an exit status. */
import type { ErrorValue } from "../model/errors.ts";
import type { TransactionView } from "../model/transaction.ts";
import type { Context } from "./context.ts";
import { diffText } from "./diff.ts";
import { OK, SIGNALLED, showError, UNCHANGED } from "./exit.ts";
import { printable } from "./format.ts";
import { timingsText } from "./stages.ts";

/** How a result is reported. */
export interface ReportOptions {
  /** Errors only. */
  readonly silent: boolean;
  readonly unchangedExit77: boolean;
  /** Ctrl-C was pressed. */
  readonly interrupted: boolean;
}

const NEXT_BOOT = "Changes take effect at the next boot";

/** The text of a finished transaction: package differences, summary, stage times, and when it takes effect. */
export function resultText(view: TransactionView): string {
  const { result } = view;
  if (result === null) return "";
  const staged = result.changed && result.staged;
  // The daemon's summary of a staged deployment says the same in other words.
  const summary = staged && result.summary.includes("next boot") ? "" : sentence(printable(result.summary));
  const lines = [summary, timingsText(result.timings), staged ? NEXT_BOOT : ""].filter((line) => line !== "");
  return diffText(result.diff) + lines.map((line) => `${line}\n`).join("");
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The error of a transaction that did not finish. */
export function errorOf(view: TransactionView): ErrorValue {
  if (view.error !== null) return view.error;
  if (view.state === "cancelled") return { code: "Cancelled", message: `cannot ${view.title}: it was cancelled` };
  return { code: "Internal", message: `cannot ${view.title}: it failed without a reason` };
}

/** Shows how a transaction ended and gives the exit status. */
export function report(context: Context, view: TransactionView, options: ReportOptions): number {
  if (view.state !== "finished") {
    const status = showError(context, errorOf(view));
    return options.interrupted && view.state === "cancelled" ? SIGNALLED.SIGINT : status;
  }
  if (!options.silent) context.stdout.write(resultText(view));
  return options.unchangedExit77 && view.result?.changed === false ? UNCHANGED : OK;
}
