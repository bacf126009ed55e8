/** What the commands get of the process they run in, so that tests can give them another. */
import type { DaemonClient } from "../dbus/client.ts";

/** A connection to the daemon, as far as the commands use it. */
export type Daemon = Pick<
  DaemonClient,
  "status" | "statusAfter" | "submit" | "transaction" | "transactions" | "messages" | "cancel" | "metrics" | "lockReport" | "follow" | "close"
> &
  Reading &
  RemoteConfiguration;

/** What the reading commands ask. */
export type Reading = Pick<DaemonClient, "revision" | "packages" | "packageDiff" | "changelogs" | "why" | "whyPlanned" | "whyNot">;

/** What the commands about remotes ask. */
export type RemoteConfiguration = Pick<DaemonClient, "remotes" | "remoteRefs" | "addRemote" | "modifyRemote" | "deleteRemote">;

/** One of the two standard streams that are written to. */
export interface Output {
  write(text: string): void;
  /** A terminal that understands escape sequences. */
  readonly terminal: boolean;
  /** Whether colours are welcome: a terminal, and NO_COLOR (no-color.org) is not set. */
  readonly colour: boolean;
  /** Characters in a line, asked for each time because a window changes. */
  columns(): number;
}

/** The signals that a command answers to. */
export type Signal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** Time, so that tests need not wait. */
export interface Clock {
  nowMs(): number;
  /** Calls back once; the returned function prevents it. */
  after(delayMs: number, callback: () => void): () => void;
}

/** Everything outside of the commands. */
export interface Context {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly clock: Clock;
  /** The uid that the daemon will see. */
  readonly uid: number;
  /** The `--bus` option's value goes in. Throws Unavailable, InvalidRequest. */
  connect(address: string): Promise<Daemon>;
  /** Listens for a signal, which then no longer ends the process, until the returned function is called. */
  onSignal(signal: Signal, listener: () => void): () => void;
}

/** The options that every command has. */
export interface Globals {
  /** "system" or a D-Bus address. */
  readonly bus: string;
  /** No progress and no results, only errors and what was asked for. */
  readonly quiet: boolean;
}
