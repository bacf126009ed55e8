/**
 * Our interfaces as tables, from which the server dispatches and the introspection is made. The commented reference is
 * `systemd/org.debian.aptostree1.xml`; a test holds the two together.
 */
import {
  DATABASE_INTERFACE,
  INTERFACE,
  MANAGER_INTERFACE,
  OS_INTERFACE,
  REMOTES_INTERFACE,
  SYSROOT_INTERFACE,
  TRANSACTION_INTERFACE,
} from "./wire.ts";

/** Arguments in order: name to signature. */
export type Args = Readonly<Record<string, string>>;

/** One interface. */
export interface InterfaceTable {
  readonly name: string;
  readonly methods: Readonly<Record<string, { readonly in: Args; readonly out: Args }>>;
  /** Name to signature; every property is read-only. */
  readonly properties: Args;
  readonly signals: Readonly<Record<string, Args>>;
}

/** The type in our language of what a signature stands for. */
export type Native<S> = S extends "s" | "o" | "g"
  ? string
  : S extends "i" | "u" | "d"
    ? number
    : S extends "t" | "x"
      ? number | bigint
      : S extends "b"
        ? boolean
        : S extends "as" | "ao"
          ? readonly string[]
          : unknown;

/** The values of arguments, by name. */
export type Values<A extends Args> = { readonly [K in keyof A]: Native<A[K]> };

/** The whole signature of a list of arguments. */
export function signatureOf(args: Args): string {
  return Object.values(args).join("");
}

const ID = { transaction_id: "s" } as const;

/** At the root object: what every client needs. */
export const MAIN = {
  name: INTERFACE,
  methods: {
    Status: { in: {}, out: { status: "s" } },
    Install: { in: { packages: "as" }, out: ID },
    Uninstall: { in: { packages: "as" }, out: ID },
    Upgrade: { in: {}, out: ID },
    Rollback: { in: {}, out: ID },
  },
  properties: {},
  signals: { TransactionProgress: { transaction_id: "s", progress: "i", message: "s" } },
} as const satisfies InterfaceTable;

/** At the root object: the rest. */
export const MANAGER = {
  name: MANAGER_INTERFACE,
  methods: {
    Submit: { in: { request: "s" }, out: ID },
    WaitStatus: { in: { since_epoch: "t", timeout_ms: "u" }, out: { status: "s" } },
    GetTransaction: { in: ID, out: { transaction: "s" } },
    ListTransactions: { in: { limit: "u" }, out: { transactions: "s" } },
    GetMessages: { in: { transaction_id: "s", after: "u" }, out: { messages: "s" } },
    Cancel: { in: ID, out: {} },
    DebugLocks: { in: {}, out: { report: "s" } },
    Metrics: { in: {}, out: { metrics: "s" } },
    Reload: { in: {}, out: { epoch: "t" } },
  },
  properties: { Version: "s" },
  signals: {},
} as const satisfies InterfaceTable;

/** At the root object: the packages of deployments and commits, for reading. */
export const DATABASE = {
  name: DATABASE_INTERFACE,
  methods: {
    Revision: { in: { revision: "s" }, out: { found: "s" } },
    Packages: { in: { revision: "s" }, out: { packages: "s" } },
    PackageDiff: { in: { from: "s", to: "s" }, out: { diff: "s" } },
    Changelogs: { in: { from: "s", to: "s" }, out: { changelogs: "s" } },
    Why: { in: { package: "s", revision: "s" }, out: { why: "s" } },
    WhyPlanned: { in: { package: "s", wanted: "as" }, out: { why: "s" } },
    WhyNot: { in: { package: "s" }, out: { why_not: "s" } },
  },
  properties: {},
  signals: {},
} as const satisfies InterfaceTable;

/** At the root object: where bases are pulled from. */
export const REMOTES = {
  name: REMOTES_INTERFACE,
  methods: {
    ListRemotes: { in: {}, out: { remotes: "s" } },
    RemoteRefs: { in: { name: "s" }, out: { refs: "s" } },
    AddRemote: { in: { name: "s", settings: "s" }, out: {} },
    ModifyRemote: { in: { name: "s", settings: "s" }, out: {} },
    DeleteRemote: { in: { name: "s", force: "b" }, out: {} },
  },
  properties: {},
  signals: {},
} as const satisfies InterfaceTable;

/** Methods that no limit on reading holds back: those that change something, which have limits of their own, and Status, which never waits. */
export const UNLIMITED: ReadonlySet<string> = new Set(["Install", "Uninstall", "Upgrade", "Rollback", "Submit", "Cancel", "Reload", "Status"]);

/** The sysroot's state. */
export const SYSROOT = {
  name: SYSROOT_INTERFACE,
  methods: {},
  properties: { Epoch: "t", Path: "s", Booted: "o", Deployments: "aa{sv}", ActiveTransactions: "ao" },
  signals: {},
} as const satisfies InterfaceTable;

/** One stateroot. */
export const OS = {
  name: OS_INTERFACE,
  methods: {},
  properties: { Name: "s", BootedDeployment: "a{sv}", DefaultDeployment: "a{sv}", RollbackDeployment: "a{sv}" },
  signals: {},
} as const satisfies InterfaceTable;

/** One transaction. */
export const TRANSACTION = {
  name: TRANSACTION_INTERFACE,
  methods: { Cancel: { in: {}, out: {} } },
  properties: {
    Id: "s",
    Kind: "s",
    Title: "s",
    Client: "(sus)",
    Class: "s",
    CreatedMs: "t",
    Resumed: "u",
    State: "s",
    Percent: "d",
    Text: "s",
    EtaP50Ms: "t",
    EtaP90Ms: "t",
    Warning: "s",
    WaitingFor: "s",
    Position: "u",
    Cancellable: "b",
    JoinedWith: "as",
    Result: "s",
  },
  signals: {
    Message: { seq: "u", level: "s", text: "s" },
    Progress: { percent: "d", text: "s", bytes_done: "t", bytes_total: "t" },
    Finished: { state: "s", error_code: "s", error_message: "s" },
  },
} as const satisfies InterfaceTable;
