/**
 * Writes the documents that are made from the code: the machines' diagrams, and the blocks of README.md between
 * `<!-- generated:NAME -->` and `<!-- /generated:NAME -->`. With `--check` nothing is written: stale files are named, exit 1.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { transactionMachine } from "../machines/transaction.ts";
import type { Context } from "./cli/context.ts";
import { makeProgram } from "./cli/program.ts";
import { commandReference } from "./cli/reference.ts";
import { composeCommand } from "./compose/command.ts";
import { CONFIG_KEYS } from "./config.ts";
import { ERRORS } from "./model/errors.ts";
import { KINDS, STAGES, STAGES_OF } from "./model/transaction.ts";
import { checkoutRoot } from "./sandbox/layout.ts";
import { type Clauses, MEETINGS } from "./scheduler/meetings.ts";
import { NEEDS_OF } from "./scheduler/needs.ts";

/** The makers of the blocks, by NAME. */
export const BLOCKS: Readonly<Record<string, () => string>> = {
  errors: errorTable,
  machine: () => `\`\`\`mermaid\n${mermaid(transactionMachine)}\`\`\`\n`,
  cli: cliReference,
  config: configTable,
  stages: stageTables,
  meetings: meetingTable,
};

/** The text with every generated block made anew; markers that are not there are not missed. Throws where a block has no end or no maker. */
export function renderReadme(text: string): string {
  return text.replace(/(<!-- generated:(\w+) -->\n)(?:([\s\S]*?)(<!-- \/generated:\2 -->))?/g, (_all, begin: string, name: string, _old, end) => {
    const make = Object.hasOwn(BLOCKS, name) ? BLOCKS[name] : undefined;
    if (make === undefined) throw new Error(`README.md has a block that nobody makes: ${name}`);
    if (end === undefined) throw new Error(`README.md has a block without an end: ${name}`);
    return `${begin}\n${make()}\n${end}`;
  });
}

/** The generated files as they should be, by path from the checkout; README.md only where there is one. */
export async function renderDocuments(root: string): Promise<ReadonlyMap<string, string>> {
  const documents = new Map([["machines/transaction.mmd", mermaid(transactionMachine)]]);
  const readme = await textOf(join(root, "README.md"));
  if (readme !== null) documents.set("README.md", renderReadme(readme));
  return documents;
}

/** The paths of the generated files that are not as they should be. */
export async function staleDocuments(root: string): Promise<string[]> {
  const documents = [...(await renderDocuments(root))];
  const found = await Promise.all(documents.map(async ([path, text]) => ((await textOf(join(root, path))) === text ? [] : [path])));
  return found.flat();
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`).join("");
}

function errorTable(): string {
  const rows = Object.entries(ERRORS).map(([code, { exitStatus, meaning }]) => [`\`${code}\``, String(exitStatus), meaning]);
  return table(["code", "exit status", "meaning"], rows);
}

function configTable(): string {
  const rows = Object.entries(CONFIG_KEYS).map(([key, { fallback, min, max }]) => [`\`${key}\``, String(fallback), `${min} to ${max}`]);
  return table(["key", "default", "allowed"], rows);
}

function stageTables(): string {
  const kinds = KINDS.map((kind) => [kind, STAGES_OF[kind].join(", ")]);
  const stages = STAGES.map((stage) => [stage, NEEDS_OF[stage].map(({ resource, mode }) => `${resource} ${mode}`).join(", ")]);
  return `${table(["kind", "stages"], kinds)}\n${table(["stage", "locks"], stages)}`;
}

/** Rows: the request that is there; columns: the newcomer. */
function meetingTable(): string {
  const rows = KINDS.map((there) => [`**${there}**`, ...KINDS.map((newcomer) => clausesText(MEETINGS[there][newcomer]))]);
  return table(["", ...KINDS], rows);
}

function clausesText(clauses: Clauses): string {
  const last = clauses.at(-1)?.[0] === "always" ? [] : ["queue"];
  return [...clauses.map(([condition, meeting]) => (condition === "always" ? meeting : `${condition}: ${meeting}`)), ...last].join("; ");
}

/** The command tree is only looked at: none of its commands runs, so that nothing is printed or connected to. */
function cliReference(): string {
  const stream = { write: () => undefined, columns: () => 100, colour: false, terminal: false };
  const context = { stdout: stream, stderr: stream } as unknown as Context;
  return commandReference(makeProgram(context, () => undefined, composeCommand()));
}

type Machine = typeof transactionMachine;
type State = Machine["states"][keyof Machine["states"]];
type Transition = State["always"] extends readonly (infer T)[] | undefined ? T : never;

/** A machine as a Mermaid state diagram (https://mermaid.js.org/syntax/stateDiagram.html): states, what they are, and how they follow. */
export function mermaid(machine: Machine): string {
  const states = Object.values(machine.states) as State[];
  const lines = ["stateDiagram-v2", `  [*] --> ${machine.root.initial.target?.[0]?.key ?? ""}`];
  for (const state of states) {
    const inner = Object.values(state.states) as State[];
    lines.push(`  ${nameOf(state)}: ${legend(state)}`);
    if (inner.length > 0) {
      lines.push(`  state ${state.key} {`, `    [*] --> ${nameOf(state.initial.target?.[0] as State)}`);
      for (const child of inner) lines.push(`    ${nameOf(child)}: ${legend(child)}`);
      for (const child of [state, ...inner]) lines.push(...edgesFrom(child, (target) => inner.includes(target)).map((edge) => `    ${edge}`));
      lines.push("  }");
    }
    lines.push(...edgesFrom(state, (target) => !inner.includes(target)).map((edge) => `  ${edge}`));
    if (state.type === "final") lines.push(`  ${state.key} --> [*]`);
  }
  return `${lines.join("\n")}\n`;
}

/** Mermaid has one name space for all states of a diagram. */
function nameOf(state: State): string {
  return state.path.join("_");
}

/** Mermaid ends a text at ":" and ";". */
function legend({ key, description }: State): string {
  return description === undefined ? key : `${key} - ${description.replace(/[:;]/g, ",")}`;
}

/** One line for each pair of states, with all the reasons to go from the one to the other. */
function edgesFrom(state: State, wanted: (target: State) => boolean): string[] {
  const labels = new Map<string, Set<string>>();
  const { always = [] } = state;
  for (const transition of [...always, ...[...state.transitions.values()].flat()] as Transition[]) {
    const target = transition.target?.[0] as State | undefined;
    if (target === undefined || !wanted(target) || !happens(state, target, transition)) continue;
    // A transition of the outer state that ends in one of the inner ones is drawn from where it can be taken.
    const froms = target.parent === (state as unknown) ? (Object.values(state.states) as State[]).filter((s) => s !== target) : [state];
    for (const from of froms) {
      const edge = `${nameOf(from)} --> ${nameOf(target)}`;
      labels.set(edge, (labels.get(edge) ?? new Set()).add(labelOf(transition, target)));
    }
  }
  return [...labels].map(([edge, reasons]) => {
    const text = [...reasons].filter((reason) => reason !== "").join(" / ");
    return text === "" ? edge : `${edge}: ${text}`;
  });
}

function guardOf(transition: Transition): { type: string; values: string[] } | null {
  const guard = transition.guard as string | { type: string; params?: Record<string, string> } | undefined;
  if (guard === undefined) return null;
  return typeof guard === "string" ? { type: guard, values: [] } : { type: guard.type, values: Object.values(guard.params ?? {}) };
}

/** A run goes only from one of its kind's stages to the next, or back to its plan: the other guarded ways are taken by no kind there is. */
function happens(state: State, target: State, transition: Transition): boolean {
  const guard = guardOf(transition)?.type;
  if (guard !== "uses" && guard !== "mustReplan" && guard !== "mustRefresh") return true;
  return KINDS.some((kind) => {
    const stages: readonly string[] = STAGES_OF[kind];
    if (guard !== "uses") return stages.includes(state.key) && stages.includes(target.key);
    return stages[stages.indexOf(state.key) + 1] === target.key && (state.key === "queued" || stages.includes(state.key));
  });
}

function labelOf(transition: Transition, target: State): string {
  const event = String(transition.eventType ?? "");
  const guard = guardOf(transition);
  if (event === "" && guard?.type === "uses") return "begins";
  const what = event.startsWith("xstate.done") ? "done" : event.startsWith("xstate.error") ? "error" : event;
  const why = guard === null || guard.type === "uses" ? "" : guard.values.includes(target.key) ? guard.type : [guard.type, ...guard.values].join(" ");
  return [what, why === "" ? "" : `[${why}]`].filter((part) => part !== "").join(" ");
}

async function main(): Promise<void> {
  const root = checkoutRoot();
  if (!process.argv.includes("--check")) {
    for (const [path, text] of await renderDocuments(root)) await writeFile(join(root, path), text);
    return;
  }
  const stale = await staleDocuments(root);
  for (const path of stale) process.stderr.write(`stale: ${path} (npm run docs)\n`);
  process.exitCode = stale.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
