/**
 * The host's own answers to the questions of packages: `/etc/apt-ostree/debconf.conf`, in the format of debconf-set-selections(1). They are
 * part of what a layer is made from.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { formatDebconfAnswers, parseDebconfAnswers } from "../model/debconf.ts";
import { AptOstreeError } from "../model/errors.ts";
import { digestOf } from "../model/plan.ts";

/** Below /etc. */
const ANSWERS_FILE = "apt-ostree/debconf.conf";

/** The answers. */
export interface DebconfAnswers {
  /** For debconf-set-selections(1); may hold passwords. Empty where there are none. */
  readonly text: string;
  /** Digest of the text; empty where there are none. */
  readonly digest: string;
}

/** Reads the answers of the host that has this `/etc`. Throws ConfigInvalid with file and line. */
export async function readAnswers(runningEtc: string): Promise<DebconfAnswers> {
  const shown = `/etc/${ANSWERS_FILE}`;
  const text = await readFile(join(runningEtc, ANSWERS_FILE), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw new AptOstreeError("ConfigInvalid", `cannot read ${shown}: ${error.message}`, { details: { file: shown }, cause: error });
  });
  const answers = formatDebconfAnswers(parseDebconfAnswers(text, shown));
  return { text: answers, digest: answers === "" ? "" : digestOf(answers) };
}
