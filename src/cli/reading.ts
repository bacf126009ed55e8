/** The commands that answer questions about packages: names, options and help. */
import { type Command, Option } from "commander";
import { collect, type Run } from "./arguments.ts";
import type { WhyOptions } from "./commands/why.ts";
import type { Context } from "./context.ts";

const REVISIONS = `
A revision is "booted", "default" (what the next boot starts), "pending", "staged" or "rollback", the index of a
deployment, a commit or the unambiguous start of one, a ref, or a version.`;

/** Adds `db`, `why` and `why-not`. */
export function addReading(program: Command, context: Context, run: Run): void {
  const db = program.command("db").description("show packages of deployments and commits").addHelpText("after", REVISIONS);
  db.command("list")
    .description("list the packages of a revision, the booted one by default")
    .argument("[revision]", "the revision")
    .argument("[pattern...]", 'only packages whose names match one of these, with "*" and "?"')
    .option("--json", "print one JSON document")
    .addHelpText("after", REVISIONS)
    .action((revision: string | undefined, patterns: string[], options: { json?: boolean }, command: Command) =>
      run(command, async (globals) => (await import("./commands/db.ts")).list(context, globals, revision, patterns, options)),
    );
  db.command("diff")
    .description("show which packages differ between two revisions: by default the booted and the pending one, else the rollback and the booted one")
    .argument("[from]", "the older revision")
    .argument("[to]", "the newer revision; what the next boot starts by default")
    .option("--changelogs", "show what the changelogs say about the upgraded packages")
    .option("--json", "print one JSON document")
    .addHelpText("after", REVISIONS)
    .action((from: string | undefined, to: string | undefined, options: { json?: boolean; changelogs?: boolean }, command: Command) =>
      run(command, async (globals) => (await import("./commands/db.ts")).diff(context, globals, from, to, options)),
    );
  db.command("version")
    .description("show version, commit and number of packages of a revision, the booted one by default")
    .argument("[revision]", "the revision")
    .option("--json", "print one JSON document")
    .addHelpText("after", REVISIONS)
    .action((revision: string | undefined, options: { json?: boolean }, command: Command) =>
      run(command, async (globals) => (await import("./commands/db.ts")).version(context, globals, revision, options)),
    );
  program
    .command("why")
    .description("say why a package is there, or would be: part of the base, requested, or brought by what is")
    .argument("<package>", "NAME or NAME:ARCH")
    .addOption(new Option("-r, --revision <revision>", "in this revision, not in what the next boot starts").conflicts("with"))
    .option("-w, --with <package>", "in what an install of this package would make; may be given several times", collect)
    .option("--json", "print one JSON document")
    .addHelpText("after", REVISIONS)
    .action((spec: string, options: WhyOptions, command: Command) =>
      run(command, async (globals) => (await import("./commands/why.ts")).why(context, globals, spec, options)),
    );
  program
    .command("why-not")
    .description("say what stands in the way of installing a package now; exits with status 1 if something does")
    .argument("<package>", "NAME, NAME:ARCH, NAME=VERSION or NAME/SUITE")
    .option("--json", "print one JSON document")
    .action((spec: string, options: { json?: boolean }, command: Command) =>
      run(command, async (globals) => (await import("./commands/why.ts")).whyNot(context, globals, spec, options)),
    );
}
