/** Introspection data (D-Bus specification, "Introspection Data Format"), made from the tables that are served. */
import type { Args, InterfaceTable } from "./interfaces.ts";

const DOCTYPE = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">`;

/** The document for an object with these interfaces and child nodes. Names and signatures need no escaping. */
export function introspect(interfaces: readonly InterfaceTable[], children: readonly string[]): string {
  const nodes = children.map((child) => `  <node name="${child}"/>\n`);
  return `${DOCTYPE}\n<node>\n${interfaces.map(interfaceXml).join("")}${nodes.join("")}</node>\n`;
}

function interfaceXml(table: InterfaceTable): string {
  const methods = Object.entries(table.methods).map(([name, method]) =>
    element("method", name, argsXml(method.in, "in") + argsXml(method.out, "out")),
  );
  const signals = Object.entries(table.signals).map(([name, args]) => element("signal", name, argsXml(args)));
  const properties = Object.entries(table.properties).map(([name, type]) => `    <property name="${name}" type="${type}" access="read"/>\n`);
  return `  <interface name="${table.name}">\n${[...methods, ...signals, ...properties].join("")}  </interface>\n`;
}

function element(tag: string, name: string, content: string): string {
  return content === "" ? `    <${tag} name="${name}"/>\n` : `    <${tag} name="${name}">\n${content}    </${tag}>\n`;
}

function argsXml(args: Args, direction?: string): string {
  const attribute = direction === undefined ? "" : ` direction="${direction}"`;
  return Object.entries(args)
    .map(([name, type]) => `      <arg name="${name}" type="${type}"${attribute}/>\n`)
    .join("");
}
