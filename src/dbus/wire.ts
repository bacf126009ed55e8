/** Names and shapes that both ends of the bus share; `systemd/org.debian.aptostree1.xml` is the commented reference. */
import { AptOstreeError } from "../model/errors.ts";

/** The well-known name of the daemon, also the name of its main interface. */
export const BUS_NAME = "org.debian.aptostree1";
export const ROOT_PATH = "/org/debian/aptostree1";
export const SYSROOT_PATH = `${ROOT_PATH}/Sysroot`;
export const INTERFACE = "org.debian.aptostree1";
export const MANAGER_INTERFACE = "org.debian.aptostree1.Manager";
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
export interface Submission {
  readonly kind: string;
  readonly packages?: readonly string[];
  readonly targets?: readonly string[];
  readonly idempotent?: boolean;
  readonly agent: string;
}

const MAX_AGENT_LENGTH = 64;

/** Reads the JSON of `Manager.Submit`. A key that is not known is refused: an option must not be dropped in silence. Throws InvalidRequest. */
export function parseSubmission(json: string): Submission {
  const invalid = (why: string): AptOstreeError => new AptOstreeError("InvalidRequest", `cannot read the request: ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw invalid("it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("it is not a JSON object");
  const { kind, packages, targets, idempotent, agent = "", ...others } = value as Record<string, unknown>;
  for (const key of Object.keys(others)) throw invalid(`it has the unknown key ${JSON.stringify(key.slice(0, 40))}`);
  if (typeof kind !== "string") throw invalid("kind is not a string");
  if (packages !== undefined && !isStrings(packages)) throw invalid("packages is not an array of strings");
  if (targets !== undefined && !isStrings(targets)) throw invalid("targets is not an array of strings");
  if (idempotent !== undefined && typeof idempotent !== "boolean") throw invalid("idempotent is not true or false");
  if (typeof agent !== "string" || agent.length > MAX_AGENT_LENGTH || !/^[\x20-\x7e]*$/.test(agent))
    throw invalid("agent is not a short, plain name");
  return {
    kind,
    agent,
    ...(packages === undefined ? {} : { packages }),
    ...(targets === undefined ? {} : { targets }),
    ...(idempotent === undefined ? {} : { idempotent }),
  };
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}
