/** The reference of the command line, made from the command tree: Markdown for README.md and roff for the manual page. */
import type { Command } from "commander";
import { EXIT_STATUSES } from "./program.ts";

/** One command with its full name, and the commands below it after it. */
interface Entry {
  readonly name: string;
  readonly command: Command;
}

/** Terms with their meaning, as commander lists them in help. */
type Terms = readonly (readonly [term: string, meaning: string])[];

/** Every command that does something, in the order of the tree, with its full name ("transactions show"); the program itself first. */
export function commandsOf(program: Command): readonly Entry[] {
  const below = (command: Command, path: readonly string[]): Entry[] =>
    command.commands.flatMap((child) => {
      const name = [...path, child.name()];
      return [{ name: name.join(" "), command: child }, ...below(child, name)];
    });
  return [{ name: "", command: program }, ...below(program, [])];
}

function usageOf(program: Command, { name, command }: Entry): string {
  return [program.name(), name, command.usage()].filter((part) => part !== "").join(" ");
}

function argumentsOf(command: Command): Terms {
  const help = command.createHelp();
  return help.visibleArguments(command).map((argument) => [help.argumentTerm(argument), help.argumentDescription(argument)]);
}

function optionsOf(command: Command): Terms {
  const help = command.createHelp();
  return help.visibleOptions(command).map((option) => [help.optionTerm(option), help.optionDescription(option)]);
}

/** The reference as Markdown: a section for each command, with usage, aliases, arguments and options. Ends with a line end. */
export function commandReference(program: Command): string {
  const sections = commandsOf(program).map((entry) => {
    const { command, name } = entry;
    const aliases = command.aliases().map((alias) => `\`${alias}\``);
    const terms = [...argumentsOf(command), ...optionsOf(command)].map(([term, meaning]) => `- \`${term}\`: ${meaning}`);
    return [
      `### \`${[program.name(), name].join(" ").trim()}\``,
      `${sentence(command.description())}${aliases.length === 0 ? "" : ` Also called ${aliases.join(", ")}.`}`,
      `\`\`\`\n${usageOf(program, entry)}\n\`\`\``,
      terms.join("\n"),
    ]
      .filter((part) => part !== "")
      .join("\n\n");
  });
  const statuses = EXIT_STATUSES.map(([status, meaning]) => `| ${status} | ${meaning} |`).join("\n");
  return `${sections.join("\n\n")}\n\n### Exit status\n\n| status | meaning |\n|---|---|\n${statuses}\n`;
}

/** The manual page, section 1, for man(7) macros. Ends with a line end. */
export function manPage(program: Command): string {
  const entries = commandsOf(program);
  const commands = entries
    .slice(1)
    .flatMap((entry) => [
      `.SS ${quoted([program.name(), entry.name].join(" "))}`,
      `.B ${quoted(usageOf(program, entry))}`,
      ".PP",
      escaped(sentence(entry.command.description()) + entry.command.aliases().map((alias) => ` Also called ${alias}.`)),
      ...taggedTerms([...argumentsOf(entry.command), ...optionsOf(entry.command)]),
    ]);
  return [
    `.TH ${program.name().toUpperCase()} 1 "" ${quoted(`${program.name()} ${program.version() ?? ""}`)}`,
    ".SH NAME",
    `${escaped(program.name())} \\- ${escaped(program.description())}`,
    ".SH SYNOPSIS",
    `.B ${quoted(usageOf(program, { name: "", command: program }))}`,
    ".SH DESCRIPTION",
    escaped(sentence(program.description())),
    ".SH OPTIONS",
    ...taggedTerms(optionsOf(program)),
    ".SH COMMANDS",
    ...commands,
    '.SH "EXIT STATUS"',
    ...taggedTerms(EXIT_STATUSES.map(([status, meaning]) => [String(status), meaning])),
    "",
  ].join("\n");
}

function taggedTerms(terms: Terms): string[] {
  return terms.flatMap(([term, meaning]) => [".TP", `.B ${quoted(term)}`, escaped(meaning)]);
}

/** A text line for roff(7): backslashes and hyphens escaped, and nothing that would begin a request. */
function escaped(text: string): string {
  return text
    .replace(/\\/g, "\\e")
    .replace(/-/g, "\\-")
    .replace(/^(['.])/, "\\&$1");
}

function quoted(text: string): string {
  return `"${escaped(text).replace(/"/g, '""')}"`;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}
