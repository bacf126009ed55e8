/** Names and shapes that both ends of the bus share; `systemd/org.debian.aptostree1.xml` is the commented reference. */
import { AptOstreeError } from "../model/errors.ts";
import { MAX_NAMED, type RequestValues } from "../model/request.ts";
import { DEFAULT_SCHEDULING, REQUEST_CLASSES, type RequestClass, type Scheduling } from "../model/transaction.ts";

/** The well-known name of the daemon, also the name of its main interface. */
export const BUS_NAME = "org.debian.aptostree1";
export const ROOT_PATH = "/org/debian/aptostree1";
export const SYSROOT_PATH = `${ROOT_PATH}/Sysroot`;
export const INTERFACE = "org.debian.aptostree1";
export const MANAGER_INTERFACE = "org.debian.aptostree1.Manager";
export const DATABASE_INTERFACE = "org.debian.aptostree1.Database";
export const REMOTES_INTERFACE = "org.debian.aptostree1.Remotes";
export const SYSROOT_INTERFACE = "org.debian.aptostree1.Sysroot";
export const OS_INTERFACE = "org.debian.aptostree1.OS";
export const TRANSACTION_INTERFACE = "org.debian.aptostree1.Transaction";

/** The object path of a transaction. */
export function transactionPath(id: string): string {
  return `${ROOT_PATH}/transaction/${id}`;
}

/** The object path of a stateroot; bytes outside [A-Za-z0-9] become "_XX" (sd_bus_path_encode(3)). */
export function osPath(stateroot: string): string {
  return `${ROOT_PATH}/os/${[...Buffer.from(stateroot)].map((b) => (/[A-Za-z0-9]/.test(String.fromCharCode(b)) ? String.fromCharCode(b) : `_${b.toString(16).padStart(2, "0")}`)).join("")}`;
}

/** What `Manager.Submit` takes, as JSON: the values of a request that are still to be checked, and what the client calls itself. */
export interface Submission extends RequestValues {
  readonly kind: string;
  readonly agent: string;
  /** "interactive" if absent. */
  readonly class?: RequestClass;
  /** False if absent. */
  readonly noWait?: boolean;
  /** 0, which is also what absence means, waits as long as it takes. */
  readonly waitTimeoutMs?: number;
}

/** In UTF-16 units: 2000 packages of 256 letters are four fifths of it. */
const MAX_SUBMISSION_LENGTH = 640 * 1024;
const MAX_AGENT_LENGTH = 64;
/** Who would wait longer than a week has forgotten the request. */
export const MAX_WAIT_TIMEOUT_MS = 7 * 24 * 3600 * 1000;

/** How a submitted request waits. */
export function schedulingOf(submission: Submission): Scheduling {
  return {
    requestClass: submission.class ?? DEFAULT_SCHEDULING.requestClass,
    noWait: submission.noWait ?? DEFAULT_SCHEDULING.noWait,
    waitTimeoutMs: submission.waitTimeoutMs ?? DEFAULT_SCHEDULING.waitTimeoutMs,
  };
}

/** What each key of a submission must be, as "KEY is not …" says it, and whether a value is that. */
const KEYS: Readonly<Record<keyof Submission, readonly [what: string, is: (value: unknown) => boolean]>> = {
  kind: ["a string", isString],
  packages: ["an array of strings", isStrings],
  files: ["an array of strings", isStrings],
  targets: ["an array of strings", isStrings],
  idempotent: ["true or false", isBoolean],
  action: ["a string", isString],
  refspec: ["a string", isString],
  revision: ["a string", isString],
  followsApt: ["true or false", isBoolean],
  dryRun: ["true or false", isBoolean],
  plan: ["a string", isString],
  scriptNetwork: ["true or false", isBoolean],
  undoes: ["a string", isString],
  agent: ["a short, plain name", (value) => isString(value) && value.length <= MAX_AGENT_LENGTH && /^[\x20-\x7e]*$/.test(value)],
  class: [`one of ${REQUEST_CLASSES.join(", ")}`, isClass],
  noWait: ["true or false", isBoolean],
  waitTimeoutMs: [`a whole number from 0 to ${MAX_WAIT_TIMEOUT_MS}`, (value) => isWholeUpTo(value, MAX_WAIT_TIMEOUT_MS)],
};

/** Reads the JSON of `Manager.Submit`. A key that is not known is refused: an option must not be dropped in silence. Throws InvalidRequest. */
export function parseSubmission(json: string): Submission {
  const invalid = (why: string): AptOstreeError => new AptOstreeError("InvalidRequest", `cannot read the request: ${why}`);
  if (json.length > MAX_SUBMISSION_LENGTH) throw invalid(`it is longer than ${MAX_SUBMISSION_LENGTH / 1024} KiB`);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw invalid("it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("it is not a JSON object");
  for (const [key, one] of Object.entries(value)) {
    const known = Object.hasOwn(KEYS, key) ? KEYS[key as keyof Submission] : undefined;
    if (known === undefined) throw invalid(`it has the unknown key ${JSON.stringify(key.slice(0, 40))}`);
    if (Array.isArray(one) && isList(key) && one.length > MAX_NAMED[key]) throw invalid(`${key} is a list of more than ${MAX_NAMED[key]}`);
    const [what, is] = known;
    if (!is(one)) throw invalid(`${key} is not ${what}`);
  }
  if (!("kind" in value)) throw invalid("kind is not a string");
  const submission = { agent: "", ...value } as Submission;
  if (submission.noWait === true && (submission.waitTimeoutMs ?? 0) > 0) throw invalid("noWait and waitTimeoutMs exclude each other");
  return submission;
}

function isList(key: string): key is keyof typeof MAX_NAMED {
  return Object.hasOwn(MAX_NAMED, key);
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}

function isClass(value: unknown): value is RequestClass {
  return (REQUEST_CLASSES as readonly unknown[]).includes(value);
}

function isWholeUpTo(value: unknown, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max;
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}
