/** An interface table bound to the code that answers for one object. */
import type { InterfaceTable, Native, Values } from "./interfaces.ts";

/** What a method handler knows of its call, apart from the arguments. */
export interface CallContext {
  /** The caller's unique bus name. */
  readonly sender: string;
  /** The caller's program allows that a person is asked for a password. */
  readonly interactive: boolean;
  /** Runs something once the answer, good or bad, has been sent. */
  onReplied(action: () => void): void;
}

/** The handlers and getters a table needs. Getters are synchronous: reading a property never waits. */
export interface Handlers<T extends InterfaceTable> {
  readonly methods: {
    readonly [M in keyof T["methods"]]: (
      args: Values<T["methods"][M]["in"]>,
      call: CallContext,
    ) => Values<T["methods"][M]["out"]> | Promise<Values<T["methods"][M]["out"]>>;
  };
  readonly properties: { readonly [P in keyof T["properties"]]: () => Native<T["properties"][P]> };
}

/** A table with its handlers, as the server holds it. */
export interface Binding {
  readonly table: InterfaceTable;
  readonly methods: Readonly<Record<string, (args: Readonly<Record<string, unknown>>, call: CallContext) => unknown>>;
  readonly properties: Readonly<Record<string, () => unknown>>;
}

/** Binds a table to its handlers. The server checks each call's signature first, so the arguments have the types the table says. */
export function bind<const T extends InterfaceTable>(table: T, handlers: Handlers<T>): Binding {
  return { table, ...(handlers as unknown as Omit<Binding, "table">) };
}
