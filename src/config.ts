/** The daemon's configuration file: YAML, every key optional. Times are in seconds there and in milliseconds inside. */
import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import type { EngineSettings } from "./engines/context.ts";
import { AptOstreeError } from "./model/errors.ts";

/** Where the file is unless `--config` says otherwise. */
export const CONFIG_FILE = "/etc/apt-ostree/daemon.yaml";

/** Everything that can be configured. */
export interface Config extends EngineSettings {
  /** pino's levels: trace, debug, info, warn, error. */
  readonly logLevel: string;
  /** Ended transactions that the journal keeps. */
  readonly keepTransactions: number;
  /** Transactions that one user may have waiting or running. */
  readonly maxTransactionsPerUser: number;
  /** How long the daemon stays with nothing to do, where the bus can start it again; 0 for ever. */
  readonly idleExitMs: number;
}

interface Key {
  readonly fallback: number;
  readonly min: number;
  readonly max: number;
}

/** The numeric keys of the file with their defaults and limits. */
export const CONFIG_KEYS = {
  downloadConcurrency: { fallback: 6, min: 1, max: 64 },
  stallTimeoutSeconds: { fallback: 30, min: 1, max: 3600 },
  installTimeoutSeconds: { fallback: 3600, min: 1, max: 86_400 },
  scriptMemoryMiB: { fallback: 4096, min: 64, max: 1_048_576 },
  scriptProcesses: { fallback: 2048, min: 32, max: 1_000_000 },
  refreshTimeoutSeconds: { fallback: 300, min: 1, max: 86_400 },
  keepLayers: { fallback: 4, min: 0, max: 1000 },
  keepTransactions: { fallback: 1000, min: 10, max: 1_000_000 },
  maxTransactionsPerUser: { fallback: 100, min: 1, max: 100_000 },
  idleExitSeconds: { fallback: 300, min: 0, max: 604_800 },
} as const satisfies Record<string, Key>;

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error"];

/** Reads a configuration file; the defaults where the default file does not exist. Throws ConfigInvalid naming file and key. */
export async function readConfig(path: string | undefined): Promise<Config> {
  const file = path ?? CONFIG_FILE;
  let text = "";
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT" && path === undefined;
    if (!missing) throw new AptOstreeError("ConfigInvalid", `cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
  return parseConfig(text, file);
}

/** Parses the text of a configuration file. Throws ConfigInvalid. */
export function parseConfig(text: string, file: string): Config {
  const values = parseMapping(text, file);
  for (const key of Object.keys(values)) {
    if (!Object.hasOwn(CONFIG_KEYS, key) && key !== "logLevel") throw invalid(file, `unknown key ${JSON.stringify(key)}`);
  }
  const number = (name: keyof typeof CONFIG_KEYS): number => {
    const { fallback, min, max } = CONFIG_KEYS[name];
    const value = values[name] ?? fallback;
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max)
      throw invalid(file, `${name} must be a whole number from ${min} to ${max}`);
    return value;
  };
  const logLevel = values.logLevel ?? "info";
  if (typeof logLevel !== "string" || !LOG_LEVELS.includes(logLevel)) throw invalid(file, `logLevel must be one of ${LOG_LEVELS.join(", ")}`);
  return {
    downloadConcurrency: number("downloadConcurrency"),
    stallTimeoutMs: number("stallTimeoutSeconds") * 1000,
    installTimeoutMs: number("installTimeoutSeconds") * 1000,
    scriptMemoryBytes: number("scriptMemoryMiB") * 1024 * 1024,
    scriptProcesses: number("scriptProcesses"),
    refreshTimeoutMs: number("refreshTimeoutSeconds") * 1000,
    keepLayers: number("keepLayers"),
    keepTransactions: number("keepTransactions"),
    maxTransactionsPerUser: number("maxTransactionsPerUser"),
    idleExitMs: number("idleExitSeconds") * 1000,
    logLevel,
  };
}

function parseMapping(text: string, file: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parse(text) ?? {};
  } catch (error) {
    throw new AptOstreeError("ConfigInvalid", `cannot read ${file}: ${(error as Error).message.split("\n")[0]}`, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(file, "it must hold keys and values");
  return value as Readonly<Record<string, unknown>>;
}

function invalid(file: string, why: string): AptOstreeError {
  return new AptOstreeError("ConfigInvalid", `cannot use ${file}: ${why}`);
}
