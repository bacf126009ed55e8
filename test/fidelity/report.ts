/** What a run says. */
import { type Difference, topmost } from "./compare.ts";
import { EXCEPTIONS } from "./exceptions.ts";
import type { Outcome } from "./run.ts";

/** Paths that a line names unless all are asked for. */
const SHOWN = 12;

/** The line of a set. */
export function lineOf(outcome: Outcome, all: boolean): string {
  if ("failed" in outcome) return `${outcome.set} failed: ${outcome.failed.replaceAll("\n", " ")}`;
  const paths = byPath(topmost(outcome.differences));
  if (paths.length === 0) return `${outcome.set} same`;
  const shown = all ? paths : paths.slice(0, SHOWN);
  return `${outcome.set} differs: ${count(paths.length, "path")}: ${shown.join(", ")}${shown.length < paths.length ? ", …" : ""}`;
}

/** The lines at the end, with the count in the last; the exceptions that no set needed are worth a look where the list was long. */
export function summaryOf(outcomes: readonly Outcome[], tookMs: number): string[] {
  const used = new Set(outcomes.flatMap((outcome) => ("used" in outcome ? [...outcome.used] : [])));
  const unused = EXCEPTIONS.filter((exception) => !used.has(exception)).map(({ name }) => name);
  const failed = outcomes.filter((outcome) => "failed" in outcome).length;
  const same = outcomes.filter(isSame).length;
  const differ = outcomes.length - same - failed;
  return [
    ...(unused.length === 0 ? [] : [`Exceptions that were not needed: ${unused.join(", ")}`]),
    `${same} same, ${differ} differ, ${failed} failed of ${outcomes.length} (${seconds(tookMs)})`,
    `${same} passed, ${differ + failed} failed`,
  ];
}

/** Whether nothing differs but what the documented exceptions cover. */
export function isSame(outcome: Outcome): boolean {
  return "differences" in outcome && outcome.differences.length === 0;
}

/** "/a (content)", "/b (mode, owner)": one a path. */
function byPath(differences: readonly Difference[]): string[] {
  const kinds = new Map<string, string[]>();
  for (const { path, kind } of differences) kinds.set(path, [...(kinds.get(path) ?? []), kind]);
  return [...kinds].map(([path, of]) => `/${path} (${of.join(", ")})`);
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
