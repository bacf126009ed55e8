/** Reading a YAML document as typed values, with errors that say where: file, line and key. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { AptOstreeError } from "./errors.ts";

interface Place {
  readonly file: string;
  readonly lines: LineCounter;
}

/** Parses a document whose root is a mapping. Throws ConfigInvalid. */
export function parseYaml(text: string, file: string): YamlNode {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  const problem = document.errors[0];
  if (problem !== undefined) {
    const { line } = lines.linePos(problem.pos[0]);
    throw new AptOstreeError("ConfigInvalid", `cannot read ${file}:${line}: ${problem.message.split("\n")[0]}`, { details: { file, line } });
  }
  const root = new YamlNode(document.contents, "", { file, lines });
  if (!root.isMapping())
    throw new AptOstreeError("ConfigInvalid", `cannot read ${file}: it is not a mapping of keys to values`, { details: { file } });
  return root;
}

/** A value of a document, with its place. Every reading method throws ConfigInvalid where the value is of another kind. */
export class YamlNode {
  readonly #node: Node | null;
  readonly #key: string;
  readonly #place: Place;

  constructor(node: Node | null, key: string, place: Place) {
    this.#node = node;
    this.#key = key;
    this.#place = place;
  }

  isMapping(): boolean {
    return isMap(this.#node);
  }

  isList(): boolean {
    return isSeq(this.#node);
  }

  /** The keys of a mapping. */
  keys(): string[] {
    if (!isMap(this.#node)) throw this.wrong("a mapping");
    return this.#node.items.map((item) => (isScalar(item.key) ? String(item.key.value) : ""));
  }

  /** Refuses all other keys. */
  allowOnly(keys: readonly string[], known: string = keys.join(", ")): void {
    for (const key of this.keys()) {
      if (!keys.includes(key)) throw this.#error(this.#child(key), `there is no key ${JSON.stringify(key)} here; known are ${known}`);
    }
  }

  /** The value of a key, or null where it is absent or null. */
  get(key: string): YamlNode | null {
    if (!isMap(this.#node)) throw this.wrong("a mapping");
    const node = this.#child(key);
    return node.#node === null || (isScalar(node.#node) && node.#node.value === null) ? null : node;
  }

  /** The value of a key that must be there. */
  require(key: string): YamlNode {
    const node = this.get(key);
    if (node === null) throw this.#error(this, `the key ${this.#path(key)} is missing`);
    return node;
  }

  list(): YamlNode[] {
    if (!isSeq(this.#node)) throw this.wrong("a list");
    return this.#node.items.map((item, index) => new YamlNode(item as Node, `${this.#key}[${index}]`, this.#place));
  }

  string(): string {
    if (!isScalar(this.#node) || typeof this.#node.value !== "string") throw this.wrong("a string");
    return this.#node.value;
  }

  boolean(): boolean {
    if (!isScalar(this.#node) || typeof this.#node.value !== "boolean") throw this.wrong("true or false");
    return this.#node.value;
  }

  /** A string of a form; `what` completes "it is not …". */
  match(pattern: RegExp, what: string): string {
    const value = this.string();
    if (!pattern.test(value)) throw this.wrong(what);
    return value;
  }

  /** As `match`, for a string or for a number as it is written in the file (YAML 1.2 reads 0644 as a decimal number). */
  matchSource(pattern: RegExp, what: string): string {
    if (!isScalar(this.#node)) throw this.wrong(what);
    const value = typeof this.#node.value === "number" ? (this.#node.source ?? "") : String(this.#node.value);
    if (!pattern.test(value)) throw this.wrong(what);
    return value;
  }

  /** The error for a value that is not what it should be. */
  wrong(what: string): AptOstreeError {
    const given = isScalar(this.#node)
      ? JSON.stringify(this.#node.value)
      : isMap(this.#node)
        ? "a mapping"
        : isSeq(this.#node)
          ? "a list"
          : isAlias(this.#node)
            ? "an alias"
            : "nothing";
    return this.#error(this, `${this.#key === "" ? "the file" : this.#key} is ${given.slice(0, 120)}, not ${what}`);
  }

  #child(key: string): YamlNode {
    const pair = isMap(this.#node) ? this.#node.items.find((item) => isScalar(item.key) && String(item.key.value) === key) : undefined;
    const value = (pair?.value ?? null) as Node | null;
    const child = new YamlNode(value, this.#path(key), this.#place);
    child.#keyNode = (pair?.key ?? null) as Node | null;
    return child;
  }

  #keyNode: Node | null = null;

  #path(key: string): string {
    return this.#key === "" ? key : `${this.#key}.${key}`;
  }

  #error(node: YamlNode, problem: string): AptOstreeError {
    const { file, lines } = this.#place;
    const offset = (node.#keyNode ?? node.#node)?.range?.[0];
    const line = offset === undefined ? 1 : lines.linePos(offset).line;
    return new AptOstreeError("ConfigInvalid", `cannot use ${file}:${line}: ${problem}`, { details: { file, line, key: node.#key } });
  }
}
