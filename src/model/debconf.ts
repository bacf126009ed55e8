/** Answers to the questions that packages ask while they are configured, in the format of debconf-set-selections(1). */
import { AptOstreeError } from "./errors.ts";

/** One answer. */
export interface DebconfAnswer {
  /** The package that owns the question. */
  readonly owner: string;
  /** "tzdata/Areas". */
  readonly question: string;
  readonly type: string;
  /** May be empty, and may hold blanks. */
  readonly value: string;
}

/** The types of questions (debconf-devel(7)), and "seen", which sets a flag. */
const TYPES = ["boolean", "error", "multiselect", "note", "password", "seen", "select", "string", "text", "title"];
const OWNER = /^[a-z0-9][a-z0-9+.-]*$/;
const QUESTION = /^[A-Za-z0-9][A-Za-z0-9+._:-]*(\/[A-Za-z0-9+._:-]+)*$/;
const ANSWER = /^\s*(\S+)\s+(\S+)\s+(\S+)(?:\s(.*))?$/;

/**
 * Parses answers: one a line, `OWNER QUESTION TYPE VALUE`; empty lines and those that begin with "#" are passed over, a backslash at
 * the end of a line joins the next one. `file` stands for the text in messages. Throws ConfigInvalid with file and line.
 */
export function parseDebconfAnswers(text: string, file: string): DebconfAnswer[] {
  const answers: DebconfAnswer[] = [];
  let joined = "";
  let first = 0;
  const lines = text.split("\n");
  for (const [index, raw] of lines.entries()) {
    if (joined === "") first = index + 1;
    const line = joined + raw.replace(/\r$/, "");
    if (line.endsWith("\\") && index + 1 < lines.length) {
      joined = line.slice(0, -1);
      continue;
    }
    joined = "";
    if (/^\s*(#|$)/.test(line)) continue;
    answers.push(answerOf(line, file, first));
  }
  return answers;
}

function answerOf(text: string, file: string, line: number): DebconfAnswer {
  const [, owner = "", question = "", type = "", value = ""] = ANSWER.exec(text) ?? [];
  const problem = !OWNER.test(owner)
    ? "it is not OWNER QUESTION TYPE VALUE"
    : !QUESTION.test(question)
      ? `${JSON.stringify(question.slice(0, 80))} is not the name of a question`
      : TYPES.includes(type)
        ? null
        : `${JSON.stringify(type.slice(0, 80))} is not a type of a question: ${TYPES.join(", ")}`;
  // The line itself stays out of the message: it may hold a password.
  if (problem !== null) throw new AptOstreeError("ConfigInvalid", `cannot use ${file}:${line}: ${problem}`, { details: { file, line } });
  return { owner, question, type, value };
}

/** Answers as text for debconf-set-selections(1); empty for none. Equal answers give equal text, however they were written. */
export function formatDebconfAnswers(answers: readonly DebconfAnswer[]): string {
  return answers.map(({ owner, question, type, value }) => `${owner} ${question} ${type} ${value}\n`).join("");
}
