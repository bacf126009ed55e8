/** `apt-ostree transactions`: what ran, what runs, and following it. */
import { isFinal, type TransactionView } from "../../model/transaction.ts";
import type { Context, Globals } from "../context.ts";
import { diffText } from "../diff.ts";
import { OK } from "../exit.ts";
import { follow } from "../follow.ts";
import { durationOf, paint, printable, tableOf, timeOf } from "../format.ts";
import { Interruption } from "../interruption.ts";
import { findId } from "../lookup.ts";
import { makeProgress } from "../progress.ts";
import { report } from "../result.ts";
import { withDaemon } from "../session.ts";
import { classOf, etaOf, timingsText, waitingOf } from "../stages.ts";

/** `transactions list`: the newest ones, newest first. */
export async function list(context: Context, globals: Globals, options: { readonly json?: boolean; readonly limit: number }): Promise<number> {
  const views = await withDaemon(context, globals, (daemon) => daemon.transactions(options.limit));
  if (options.json === true) context.stdout.write(`${JSON.stringify(views, null, 2)}\n`);
  else context.stdout.write(views.length === 0 ? "No transactions.\n" : listText(views));
  return OK;
}

/** `transactions show`: everything about one. */
export async function show(context: Context, globals: Globals, given: string, options: { readonly json?: boolean }): Promise<number> {
  const shown = await withDaemon(context, globals, async (daemon) => {
    const id = await findId(daemon, given);
    return { transaction: await daemon.transaction(id), messages: await daemon.messages(id, 0) };
  });
  if (options.json === true) {
    context.stdout.write(`${JSON.stringify(shown, null, 2)}\n`);
    return OK;
  }
  context.stdout.write(showText(shown.transaction));
  if (shown.messages.length > 0) {
    const lines = shown.messages.map(({ atMs, level, text }) => {
      const mark = level === "info" ? "" : `${paint(context.stdout, level === "error" ? "red" : "yellow", `${level}:`)} `;
      return `  ${timeOf(atMs)} ${mark}${printable(text)}\n`;
    });
    context.stdout.write(`Messages:\n${lines.join("")}`);
  }
  return OK;
}

/** `transactions follow`: shows a transaction from its first message to its end. Ctrl-C only stops the following: it may be somebody else's. */
export async function attach(context: Context, globals: Globals, given: string, options: { readonly json?: boolean }): Promise<number> {
  const json = options.json === true;
  return withDaemon(context, globals, async (daemon) => {
    const id = await findId(daemon, given);
    const interruption = new Interruption(context, { mayCancel: false });
    try {
      const ending = await follow(daemon, id, makeProgress(context, { quiet: globals.quiet, json }), interruption);
      if ("left" in ending) return ending.left;
      return report(context, ending.view, { silent: globals.quiet || json, unchangedExit77: false, interrupted: false });
    } finally {
      interruption.close();
    }
  });
}

/** The table of `transactions list`. */
export function listText(views: readonly TransactionView[]): string {
  const rows = views.map((view) => [
    view.id,
    isFinal(view.state) ? view.state : `${view.state} ${Math.floor(view.progress.percent)}%`,
    timeOf(view.createdMs),
    isFinal(view.state) ? durationOf(view.endedMs - view.createdMs) : "-",
    printable(view.title),
  ]);
  return tableOf([["ID", "STATE", "SUBMITTED", "TOOK", "REQUEST"], ...rows]);
}

/** The text of `transactions show`, without the messages. */
export function showText(view: TransactionView): string {
  const { caller, progress, result } = view;
  const state = isFinal(view.state) ? view.state : `${view.state} ${Math.floor(progress.percent)}%`;
  const doing = isFinal(view.state) ? "" : waitingOf(view) || printable(progress.text);
  const fields: readonly (readonly [string, string])[] = [
    ["Transaction", view.id],
    ["Request", printable(view.title)],
    ["State", doing === "" ? state : `${state} (${doing})`],
    ["Left", isFinal(view.state) ? "" : etaOf(view).replace(/ left/, "")],
    ["Warning", printable(view.warning)],
    ["Class", classOf(view)],
    ["Initiator", `${printable(caller.agent)} (uid ${caller.uid}, pid ${caller.pid})`],
    ["Submitted", timeOf(view.createdMs)],
    ["Ended", view.endedMs === 0 ? "" : `${timeOf(view.endedMs)} (${durationOf(view.endedMs - view.createdMs)})`],
    ["JoinedWith", view.joinedWith.join(" ")],
    ["Resumed", view.resumed === 0 ? "" : `${view.resumed} times after a restart of the daemon`],
    ["Error", view.error === null ? "" : `${view.error.code}: ${printable(view.error.message)}`],
    ["Summary", printable(result?.summary ?? "")],
    ["Commit", result?.commit ?? ""],
    ["Timings", timingsText(result?.timings ?? [])],
  ];
  const present = fields.filter(([, value]) => value !== "");
  const width = Math.max(...present.map(([label]) => label.length));
  return present.map(([label, value]) => `${label.padStart(width)}: ${value}\n`).join("") + diffText(result?.diff ?? []);
}
