/** The daemon's log: pino's JSON lines with the "<N>" priority prefix that journald reads (sd-daemon(3)). */
import { type Logger, pino } from "pino";

const PRIORITY: Readonly<Record<number, number>> = { 10: 7, 20: 7, 30: 6, 40: 4, 50: 3, 60: 2 };

/** Lines about a transaction are written through `log.child({ transaction, run })`. */
export type Log = Logger;

/** A log that writes to standard output. The prefix is written only where journald reads (`JOURNAL_STREAM` is set). */
export function makeLog(level: string): Log {
  const journald = process.env.JOURNAL_STREAM !== undefined;
  return pino(
    { level, base: null, timestamp: !journald },
    {
      write(line: string): void {
        process.stdout.write(journald ? `<${priorityOf(line)}>${line}` : line);
      },
    },
  );
}

function priorityOf(line: string): number {
  const level = Number(/^\{"level":(\d+)/.exec(line)?.[1] ?? 30);
  return PRIORITY[level] ?? 6;
}
