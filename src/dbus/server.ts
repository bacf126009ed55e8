/**
 * An object server: objects by path, interfaces as tables, exactly one answer for each call. It knows nothing of packages.
 */
import type { Log } from "../log.ts";
import type { Binding, CallContext } from "./binding.ts";
import { type Bus, variant } from "./bus.ts";
import { faultOf, ProtocolError } from "./faults.ts";
import { type Args, type InterfaceTable, signatureOf, type Values } from "./interfaces.ts";
import type { IncomingCall } from "./message.ts";
import { OBJECT_MANAGER, PROPERTIES, propertyValues, standardBindings } from "./standard.ts";

const CLOSE_PATIENCE_MS = 2000;

interface ServedObject {
  readonly bindings: readonly Binding[];
  /** What clients were last told of each property, as text to compare with: "INTERFACE.NAME" to value. */
  readonly told: Map<string, string>;
}

/**
 * Serves the objects that are added to it, and the paths that lead to them, from construction to `close`. Adding and removing
 * objects is announced by the object manager at `managerPath`.
 */
export class ObjectServer {
  readonly #bus: Bus;
  readonly #log: Log;
  readonly #managerPath: string;
  readonly #admit: (call: IncomingCall) => Promise<void> | null;
  readonly #objects = new Map<string, ServedObject>();
  readonly #running = new Set<Promise<void>>();
  #lastCallMs = performance.now();
  readonly #stopServing: () => void;

  /** `admit` says whether a call has to wait for its turn, and until when. */
  constructor(bus: Bus, log: Log, managerPath: string, admit: (call: IncomingCall) => Promise<void> | null = () => null) {
    this.#bus = bus;
    this.#admit = admit;
    this.#log = log;
    this.#managerPath = managerPath;
    this.#stopServing = bus.serve((call) => {
      this.#lastCallMs = performance.now();
      const answered = this.#answer(call).finally(() => {
        this.#running.delete(answered);
        this.#lastCallMs = performance.now();
      });
      this.#running.add(answered);
    });
  }

  /** Since when no call is open, by `performance.now()`; null while one is. */
  idleSinceMs(): number | null {
    return this.#running.size > 0 ? null : this.#lastCallMs;
  }

  /** Resolves when every call that has arrived is answered, or the connection is closed, after a few seconds in any case. */
  async settled(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise((resolve) => {
      timer = setTimeout(resolve, CLOSE_PATIENCE_MS);
    });
    await Promise.race([Promise.all(this.#running), this.#bus.closed, patience]);
    clearTimeout(timer);
  }

  /** Whether an object is served at a path. */
  has(path: string): boolean {
    return this.#objects.has(path);
  }

  /** Serves an object and announces it. */
  add(path: string, bindings: readonly Binding[]): void {
    const object = { bindings, told: new Map<string, string>() };
    this.#objects.set(path, object);
    for (const binding of bindings) changedProperties(object, binding);
    if (path === this.#managerPath) return;
    this.emit(this.#managerPath, OBJECT_MANAGER, "InterfacesAdded", { object_path: path, interfaces_and_properties: allProperties(object) });
  }

  /** Serves an object no longer and says so; does nothing where there is none. */
  remove(path: string): void {
    const object = this.#objects.get(path);
    if (object === undefined) return;
    this.#objects.delete(path);
    const interfaces = object.bindings.map((binding) => binding.table.name);
    this.emit(this.#managerPath, OBJECT_MANAGER, "InterfacesRemoved", { object_path: path, interfaces });
  }

  /** Tells which properties of an object have another value than clients were last told, if any. */
  refresh(path: string): void {
    const object = this.#objects.get(path);
    if (object === undefined) return;
    for (const binding of object.bindings) {
      const changed = changedProperties(object, binding);
      if (Object.keys(changed).length === 0) continue;
      const invalidated: string[] = [];
      this.emit(path, PROPERTIES, "PropertiesChanged", {
        interface_name: binding.table.name,
        changed_properties: changed,
        invalidated_properties: invalidated,
      });
    }
  }

  /** Sends a signal of an object. One that cannot be sent is a bug or comes too late, and is logged: nobody waits for it. */
  emit<T extends InterfaceTable, S extends keyof T["signals"] & string>(path: string, table: T, signal: S, values: Values<T["signals"][S]>): void {
    const args = table.signals[signal] as Args;
    try {
      this.#bus.emit(path, table.name, signal, signatureOf(args), inOrder(args, values));
    } catch (err) {
      this.#log.warn({ err, path, signal }, "cannot send a signal");
    }
  }

  /** Waits until every call that arrived is answered, for a few seconds at most, and takes no more. */
  async close(): Promise<void> {
    await this.settled();
    this.#stopServing();
    this.#objects.clear();
  }

  /** Answers one call. Never rejects. */
  async #answer(incoming: IncomingCall): Promise<void> {
    const after: (() => void)[] = [];
    const context: CallContext = { sender: incoming.sender, interactive: incoming.interactive, onReplied: (action) => after.push(action) };
    try {
      const turn = this.#admit(incoming);
      if (turn !== null) await turn;
      const { signature, body } = await this.#dispatch(incoming, context);
      incoming.reply(signature, body);
    } catch (thrown) {
      this.#fail(incoming, thrown);
    }
    for (const action of after) {
      try {
        action();
      } catch (err) {
        this.#log.error({ err, member: incoming.member }, "cannot finish what was to follow an answer");
      }
    }
  }

  #fail(incoming: IncomingCall, thrown: unknown): void {
    const { path, member, sender } = incoming;
    try {
      const fault = faultOf(thrown);
      if (fault.isBug) this.#log.error({ err: thrown, path, interface: incoming.interface, member, sender }, "cannot answer a call");
      incoming.fail(fault.name, fault.text);
    } catch (err) {
      // Only the end of the connection can bring us here, and with it went the caller.
      this.#log.warn({ err, path, member, sender }, "cannot send an answer");
    }
  }

  async #dispatch(incoming: IncomingCall, context: CallContext): Promise<{ signature: string; body: unknown[] }> {
    const { binding, method } = findMethod(this.#bindingsAt(incoming.path), incoming);
    const signature = signatureOf(method.in);
    if (incoming.signature !== signature) {
      throw new ProtocolError("InvalidArgs", `cannot call ${incoming.member}: it takes "${signature}", not "${incoming.signature}"`);
    }
    const args = Object.fromEntries(Object.keys(method.in).map((name, index) => [name, incoming.body[index]]));
    const values = await binding.methods[incoming.member]?.(args, context);
    return { signature: signatureOf(method.out), body: inOrder(method.out, values) };
  }

  /** The interfaces at a path: an object's, or those of a path that leads to one. */
  #bindingsAt(path: string): readonly Binding[] {
    const object = this.#objects.get(path);
    if (object === undefined && this.#childrenOf(path).length === 0) throw new ProtocolError("UnknownObject", `there is no object ${path}`);
    const bindings = object?.bindings ?? [];
    const managed = path === this.#managerPath ? () => this.#managed() : null;
    return [...standardBindings({ bindings, children: () => this.#childrenOf(path), managed }), ...bindings];
  }

  #childrenOf(path: string): string[] {
    const prefix = path === "/" ? "/" : `${path}/`;
    const children = new Set<string>();
    for (const other of this.#objects.keys()) {
      if (other !== path && other.startsWith(prefix)) children.add(other.slice(prefix.length).split("/", 1)[0] ?? "");
    }
    return [...children].sort();
  }

  #managed(): Record<string, Record<string, Record<string, unknown>>> {
    const below = [...this.#objects].filter(([path]) => path.startsWith(`${this.#managerPath}/`));
    return Object.fromEntries(below.map(([path, object]) => [path, allProperties(object)]));
  }
}

function findMethod(bindings: readonly Binding[], call: IncomingCall): { binding: Binding; method: { in: Args; out: Args } } {
  const named = bindings.filter((binding) => call.interface === undefined || binding.table.name === call.interface);
  if (named.length === 0) throw new ProtocolError("UnknownInterface", `there is no interface ${call.interface} at ${call.path}`);
  for (const binding of named) {
    // Own keys only: "constructor" and the like are valid member names.
    const method = Object.hasOwn(binding.table.methods, call.member) ? binding.table.methods[call.member] : undefined;
    if (method !== undefined) return { binding, method };
  }
  throw new ProtocolError("UnknownMethod", `there is no method ${call.member} in ${call.interface ?? "any interface"} at ${call.path}`);
}

/** The properties whose value is not the one last told, which they are marked as from now on. */
function changedProperties(object: ServedObject, binding: Binding): Record<string, unknown> {
  const changed: Record<string, unknown> = {};
  for (const [name, type] of Object.entries(binding.table.properties)) {
    const value = binding.properties[name]?.();
    const text = JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? `${part}n` : part));
    const key = `${binding.table.name}.${name}`;
    if (object.told.get(key) === text) continue;
    object.told.set(key, text);
    changed[name] = variant(type, value);
  }
  return changed;
}

function allProperties(object: ServedObject): Record<string, Record<string, unknown>> {
  return Object.fromEntries(object.bindings.map((binding) => [binding.table.name, propertyValues(binding)]));
}

function inOrder(args: Args, values: unknown): unknown[] {
  const named = values as Readonly<Record<string, unknown>> | undefined;
  return Object.keys(args).map((name) => named?.[name]);
}
