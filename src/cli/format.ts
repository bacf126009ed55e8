/** Values as people read them. */
import { stripVTControlCharacters, styleText } from "node:util";
import type { Output } from "./context.ts";

/** Words and marks in colour where the output wants it. */
export type Colour = "red" | "green" | "yellow" | "bold" | "dim";

/** The text, coloured where the output is a terminal that wants it. */
export function paint(output: Pick<Output, "colour">, colour: Colour, text: string): string {
  return output.colour ? styleText(colour, text, { validateStream: false }) : text;
}

/** A text from elsewhere (a maintainer script's, say) without what could steer the terminal; line ends and tabs become spaces. */
export function printable(text: string): string {
  return stripVTControlCharacters(text)
    .replace(/[\n\t]/g, " ")
    .replace(/\p{Cc}/gu, "");
}

/** The text cut to a number of characters, with "…" at the end where something is missing. */
export function shorten(text: string, length: number): string {
  const characters = [...text];
  if (characters.length <= length) return text;
  return length <= 0 ? "" : `${characters.slice(0, length - 1).join("")}…`;
}

/** Progress in bytes, "12.3/20.1 MB", in the decimal unit of the total (as apt writes it); empty where there is no total. */
export function bytesOf(done: number, total: number): string {
  if (total <= 0) return "";
  const [unit, size] = total < 1000 ? ["B", 1] : total < 1e6 ? ["kB", 1e3] : total < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  const digits = size === 1 ? 0 : 1;
  return `${(done / size).toFixed(digits)}/${(total / size).toFixed(digits)} ${unit}`;
}

/** A duration: "0.24 s", "12.3 s", "2 min 05 s", "3 h 07 min". */
export function durationOf(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 0.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad2(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad2(Math.floor((whole % 3600) / 60))} min`;
}

/** A duration as a guess deserves it: "3 s", "40 s", "2 min", "1 h 10 min". */
export function roughDurationOf(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 10) return `${seconds} s`;
  const toFive = Math.round(seconds / 5) * 5;
  if (toFive < 60) return `${toFive} s`;
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 60) return `${minutes} min`;
  const toTen = Math.round(minutes / 10) * 10;
  return toTen % 60 === 0 ? `${toTen / 60} h` : `${Math.floor(toTen / 60)} h ${toTen % 60} min`;
}

/** A moment, in UTC to the second: "2026-07-01T12:00:03Z". */
export function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

/** A place in a queue: "1st", "2nd", "13th". */
export function ordinal(n: number): string {
  const teen = n % 100 >= 11 && n % 100 <= 13;
  return `${n}${teen ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th")}`;
}

/** Rows as columns two spaces apart; the last column is not padded. */
export function tableOf(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const [i, cell] of rows.flatMap((row) => [...row.entries()])) widths[i] = Math.max(widths[i] ?? 0, [...cell].length);
  const line = (row: readonly string[]): string => row.map((cell, i) => (i === row.length - 1 ? cell : padEnd(cell, widths[i] ?? 0))).join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}

function padEnd(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - [...text].length));
}

function pad2(n: number): string {
  return String(n).padStart(2, "0");
}
