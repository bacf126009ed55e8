/** The standard interfaces (D-Bus specification, "Standard Interfaces"), as tables, and their answers for one object. */
import { readFile } from "node:fs/promises";
import { type Binding, bind } from "./binding.ts";
import { variant } from "./bus.ts";
import { ProtocolError } from "./faults.ts";
import type { InterfaceTable } from "./interfaces.ts";
import { introspect } from "./introspect.ts";

const INTROSPECTABLE = {
  name: "org.freedesktop.DBus.Introspectable",
  methods: { Introspect: { in: {}, out: { xml_data: "s" } } },
  properties: {},
  signals: {},
} as const satisfies InterfaceTable;

const PEER = {
  name: "org.freedesktop.DBus.Peer",
  methods: { Ping: { in: {}, out: {} }, GetMachineId: { in: {}, out: { machine_uuid: "s" } } },
  properties: {},
  signals: {},
} as const satisfies InterfaceTable;

/** Properties, with the signal the server sends for them. */
export const PROPERTIES = {
  name: "org.freedesktop.DBus.Properties",
  methods: {
    Get: { in: { interface_name: "s", property_name: "s" }, out: { value: "v" } },
    GetAll: { in: { interface_name: "s" }, out: { props: "a{sv}" } },
    Set: { in: { interface_name: "s", property_name: "s", value: "v" }, out: {} },
  },
  properties: {},
  signals: { PropertiesChanged: { interface_name: "s", changed_properties: "a{sv}", invalidated_properties: "as" } },
} as const satisfies InterfaceTable;

/** The object manager, with the signals the server sends when objects come and go. */
export const OBJECT_MANAGER = {
  name: "org.freedesktop.DBus.ObjectManager",
  methods: { GetManagedObjects: { in: {}, out: { objpath_interfaces_and_properties: "a{oa{sa{sv}}}" } } },
  properties: {},
  signals: {
    InterfacesAdded: { object_path: "o", interfaces_and_properties: "a{sa{sv}}" },
    InterfacesRemoved: { object_path: "o", interfaces: "as" },
  },
} as const satisfies InterfaceTable;

/** What the standard interfaces ask about the object they answer for. */
export interface Subject {
  /** Its own interfaces; none for a path that only leads to objects. */
  readonly bindings: readonly Binding[];
  children(): readonly string[];
  /** Every object below, with its properties; null where this is not the object manager. */
  managed: (() => Record<string, Record<string, Record<string, unknown>>>) | null;
}

/** The standard interfaces of an object. */
export function standardBindings(subject: Subject): Binding[] {
  const bindings: Binding[] = [introspectable(subject), peer()];
  if (subject.bindings.length > 0) bindings.push(properties(subject.bindings));
  const { managed } = subject;
  if (managed !== null) {
    bindings.push(bind(OBJECT_MANAGER, { methods: { GetManagedObjects: () => ({ objpath_interfaces_and_properties: managed() }) }, properties: {} }));
  }
  return bindings;
}

/** The properties of an interface as "a{sv}". */
export function propertyValues(binding: Binding): Record<string, unknown> {
  return Object.fromEntries(Object.keys(binding.table.properties).map((name) => [name, propertyValue(binding, name)]));
}

function propertyValue(binding: Binding, name: string): unknown {
  return variant(binding.table.properties[name] ?? "", binding.properties[name]?.());
}

function introspectable(subject: Subject): Binding {
  const document = (): string => {
    const tables = [...standardBindings(subject), ...subject.bindings].map((binding) => binding.table);
    return introspect(tables, subject.children());
  };
  return bind(INTROSPECTABLE, { methods: { Introspect: () => ({ xml_data: document() }) }, properties: {} });
}

function peer(): Binding {
  return bind(PEER, { methods: { Ping: () => ({}), GetMachineId: async () => ({ machine_uuid: await machineId() }) }, properties: {} });
}

/** The machine's id, machine-id(5). */
async function machineId(): Promise<string> {
  for (const path of ["/etc/machine-id", "/var/lib/dbus/machine-id"]) {
    const id = await readFile(path, "utf8").then(
      (text) => text.trim(),
      () => "",
    );
    if (/^[0-9a-f]{32}$/.test(id)) return id;
  }
  throw new ProtocolError("FileNotFound", "cannot tell the machine's id: it has none");
}

function properties(bindings: readonly Binding[]): Binding {
  return bind(PROPERTIES, {
    methods: {
      Get: ({ interface_name, property_name }) => ({ value: propertyValue(withProperty(bindings, interface_name, property_name), property_name) }),
      GetAll: ({ interface_name }) => ({ props: Object.assign({}, ...withInterface(bindings, interface_name).map(propertyValues)) }),
      Set: ({ interface_name, property_name }) => {
        withProperty(bindings, interface_name, property_name);
        throw new ProtocolError("PropertyReadOnly", `cannot set ${property_name}: it is read-only`);
      },
    },
    properties: {},
  });
}

/** The interfaces meant by a name; the empty name means all of them, as the specification has it. */
function withInterface(bindings: readonly Binding[], name: string): readonly Binding[] {
  if (name === "") return bindings;
  const binding = bindings.find((one) => one.table.name === name);
  if (binding !== undefined) return [binding];
  // The standard interfaces exist here too, with no properties.
  if (name.startsWith("org.freedesktop.DBus.")) return [];
  throw new ProtocolError("UnknownInterface", `there is no interface ${name} here`);
}

function withProperty(bindings: readonly Binding[], interfaceName: string, name: string): Binding {
  const binding = withInterface(bindings, interfaceName).find((one) => Object.hasOwn(one.table.properties, name));
  if (binding === undefined) throw new ProtocolError("UnknownProperty", `there is no property ${name} here`);
  return binding;
}
