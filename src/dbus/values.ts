/**
 * Checks of values against D-Bus signatures (D-Bus specification, "Type System"). The bus disconnects a program that sends
 * an ill-formed object path or too long a message, and dbus-next checks neither, so nothing is sent unchecked.
 */

/** The bus's default limit is 32 MiB (dbus-daemon(1), max_message_size); half of it leaves room for headers and padding. */
export const MAX_BODY_BYTES = 16 * 1024 * 1024;
const MAX_DEPTH = 32;
const OBJECT_PATH = /^\/(?:[A-Za-z0-9_]+(?:\/[A-Za-z0-9_]+)*)?$/;
const INTEGER_RANGES: Readonly<Record<string, readonly [bigint, bigint]>> = {
  y: [0n, 255n],
  n: [-(2n ** 15n), 2n ** 15n - 1n],
  q: [0n, 2n ** 16n - 1n],
  i: [-(2n ** 31n - 1n), 2n ** 31n - 1n],
  u: [0n, 2n ** 32n - 1n],
  x: [-(2n ** 63n - 1n), 2n ** 63n - 1n],
  t: [0n, 2n ** 64n - 1n],
};

/** One complete type: a letter, and what is in it for arrays "a", structs "(" and dictionary entries "{". */
export interface TypeNode {
  readonly type: string;
  readonly items: readonly TypeNode[];
}

const parsed = new Map<string, readonly TypeNode[]>();

/** The complete types of a signature. File descriptors ("h") are not among the types we speak. Throws TypeError. */
export function parseSignature(signature: string): readonly TypeNode[] {
  let types = parsed.get(signature);
  if (types === undefined) {
    const rest = [...signature];
    const list: TypeNode[] = [];
    while (rest.length > 0) list.push(parseOne(rest, signature));
    types = list;
    // Only signatures of our own tables and variants come here, so the cache stays small.
    parsed.set(signature, types);
  }
  return types;
}

function parseOne(rest: string[], signature: string): TypeNode {
  const type = rest.shift();
  if (type === undefined) throw new TypeError(`signature ${signature} ends too early`);
  if (type === "a") return { type, items: [parseOne(rest, signature)] };
  if (type === "(" || type === "{") {
    const close = type === "(" ? ")" : "}";
    const items: TypeNode[] = [];
    while (rest[0] !== close) items.push(parseOne(rest, signature));
    rest.shift();
    if (items.length === 0 || (type === "{" && items.length !== 2)) throw new TypeError(`signature ${signature} has an empty struct or a bad entry`);
    return { type, items };
  }
  if (!"ybnqiuxtdsogv".includes(type)) throw new TypeError(`signature ${signature} has the unknown type ${type}`);
  return { type, items: [] };
}

/** Whether a string is an object path. */
export function isObjectPath(value: string): boolean {
  return OBJECT_PATH.test(value);
}

/** Checks that a message body can be sent with this signature. Throws TypeError. */
export function checkBody(signature: string, body: readonly unknown[]): void {
  const types = parseSignature(signature);
  if (types.length !== body.length) throw new TypeError(`signature ${signature} needs ${types.length} values, got ${body.length}`);
  let bytes = 0;
  for (const [index, type] of types.entries()) bytes += checkValue(type, body[index], 0);
  if (bytes > MAX_BODY_BYTES) throw new TypeError(`a message of ${bytes} bytes is too long for the bus`);
}

/** Checks one value and gives about the number of bytes it takes. */
function checkValue(node: TypeNode, value: unknown, depth: number): number {
  if (depth > MAX_DEPTH) throw new TypeError("a value is nested too deeply");
  switch (node.type) {
    case "a":
      return checkArray(node.items[0] as TypeNode, value, depth);
    case "(":
      if (!Array.isArray(value) || value.length !== node.items.length) throw mismatch(node, value);
      return node.items.reduce((bytes, item, index) => bytes + checkValue(item, value[index], depth + 1), 8);
    case "v":
      return checkVariant(value, depth);
    case "s":
    case "g":
      if (typeof value !== "string" || value.includes("\0")) throw mismatch(node, value);
      return 8 + Buffer.byteLength(value);
    case "o":
      if (typeof value !== "string" || !isObjectPath(value)) throw mismatch(node, value);
      return 8 + value.length;
    case "b":
      if (typeof value !== "boolean") throw mismatch(node, value);
      return 4;
    case "d":
      if (typeof value !== "number" || !Number.isFinite(value)) throw mismatch(node, value);
      return 8;
    default:
      return checkInteger(node, value);
  }
}

function checkArray(item: TypeNode, value: unknown, depth: number): number {
  if (item.type === "{") {
    if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) throw mismatch(item, value);
    const [key, entry] = item.items as [TypeNode, TypeNode];
    // dbus-next can send no dictionary with keys other than strings.
    if (key.type !== "s" && key.type !== "o") throw mismatch(item, value);
    return Object.entries(value).reduce((bytes, [k, v]) => bytes + checkValue(key, k, depth + 1) + checkValue(entry, v, depth + 1), 8);
  }
  if (!Array.isArray(value)) throw mismatch(item, value);
  return value.reduce<number>((bytes, v) => bytes + checkValue(item, v, depth + 1), 8);
}

function checkVariant(value: unknown, depth: number): number {
  const held = value as { signature?: unknown; value?: unknown } | null;
  if (typeof held !== "object" || held === null || typeof held.signature !== "string") throw mismatch({ type: "v", items: [] }, value);
  const types = parseSignature(held.signature);
  if (types.length !== 1) throw new TypeError(`a variant holds one value, not ${held.signature}`);
  return 8 + checkValue(types[0] as TypeNode, held.value, depth + 1);
}

function checkInteger(node: TypeNode, value: unknown): number {
  const range = INTEGER_RANGES[node.type];
  const whole = typeof value === "bigint" || (typeof value === "number" && Number.isSafeInteger(value));
  if (range === undefined || !whole || value < range[0] || value > range[1]) throw mismatch(node, value);
  return 8;
}

function mismatch(node: TypeNode, value: unknown): TypeError {
  return new TypeError(`a value of type ${value === null ? "null" : typeof value} cannot be sent as ${node.type}`);
}
