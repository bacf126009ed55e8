/** The daemon's locks as text: who holds what, who waits for whom, and whether the rules were kept. */
import type { LockReport } from "../dbus/client.ts";
import { printable } from "./format.ts";

/** Whether the locks did what they must not: the exit status of `debug locks`. */
export function isBroken(report: LockReport): boolean {
  return report.cycle !== null || report.violations.length > 0;
}

/** The text of `apt-ostree debug locks`; `titles` says what an owner, which is the id of a run, was asked for. */
export function locksText(report: LockReport, titles: ReadonlyMap<string, string>): string {
  const { holders, waiting, graph, cycle, historyLength, violations } = report;
  const named = (owner: string): string => (titles.has(owner) ? `${owner} (${printable(titles.get(owner) ?? "")})` : owner);
  const lines = [
    ...section(
      "Holders",
      holders.map((ticket) => `${named(ticket.owner)}: ${needsOf(ticket)}`),
    ),
    ...section(
      "Waiting",
      waiting.map((ticket, index) => `${index + 1}. ${named(ticket.owner)}: ${needsOf(ticket)}, ${ticket.priority}${whyOf(ticket)}`),
    ),
    ...section(
      "Waits for",
      graph.map(({ from, to, resource, mode, reason }) => `${from} -> ${to} (${resource} ${mode}, ${reason})`),
    ),
    ...(cycle === null ? [] : [`cycle: ${[...cycle, cycle[0]].join(" -> ")}`]),
    ...(violations.length === 0 ? [`history of ${historyLength} events: consistent`] : [`history of ${historyLength} events: NOT consistent`]),
    ...violations.map(({ seq, rule, owners }) => `  event ${seq} breaks ${rule}: ${owners.join(", ")}`),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function section(title: string, rows: readonly string[]): string[] {
  return rows.length === 0 ? [`${title}: none`] : [`${title}:`, ...rows.map((row) => `  ${row}`)];
}

function needsOf({ needs }: LockReport["holders"][number]): string {
  return needs.map(({ resource, mode }) => `${resource} ${mode}`).join(", ");
}

/** "; sysroot D is held by A; repo X: B first". */
function whyOf({ obstacles }: LockReport["waiting"][number]): string {
  const reasons = obstacles.map(({ resource, mode, heldBy, behind }) => {
    const held = heldBy.length === 0 ? "" : ` is held by ${heldBy.join(" and ")}`;
    return `; ${resource} ${mode}${held}${behind.length === 0 ? "" : `${held === "" ? ":" : ","} ${behind.join(" and ")} first`}`;
  });
  return reasons.join("");
}
