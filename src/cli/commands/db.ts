/** `apt-ostree db`: the packages of deployments and commits. */
import { AptOstreeError } from "../../model/errors.ts";
import type { ChangelogPart, PackageDiff, Revision } from "../../model/inspection.ts";
import { matchesPattern } from "../../model/names.ts";
import { digestOf } from "../../model/plan.ts";
import type { Context, Daemon, Globals } from "../context.ts";
import { diffText } from "../diff.ts";
import { OK } from "../exit.ts";
import { printable, tableOf, timeOf } from "../format.ts";
import { withDaemon } from "../session.ts";

/** `db list`: a first argument with "*" or "?" is a pattern, as no revision has those. */
export async function list(
  context: Context,
  globals: Globals,
  given: string | undefined,
  patterns: readonly string[],
  options: { readonly json?: boolean },
): Promise<number> {
  const isPattern = given !== undefined && /[*?]/.test(given);
  const wanted = isPattern ? [given, ...patterns] : patterns;
  const set = await withDaemon(context, globals, async (daemon) =>
    daemon.packages(isPattern ? await current(daemon) : (given ?? (await current(daemon)))),
  );
  const packages = set.packages.filter(({ name }) => wanted.length === 0 || wanted.some((pattern) => matchesPattern(name, pattern)));
  if (options.json === true) context.stdout.write(`${JSON.stringify({ ...set, packages }, null, 2)}\n`);
  else context.stdout.write(tableOf(packages.map(({ name, version, architecture }) => [name, version, architecture].map(printable))));
  return OK;
}

/** `db diff`: in text grouped as the result of a transaction is. */
export async function diff(
  context: Context,
  globals: Globals,
  from: string | undefined,
  to: string | undefined,
  options: { readonly json?: boolean; readonly changelogs?: boolean },
): Promise<number> {
  const { found, changelogs } = await withDaemon(context, globals, async (daemon) => {
    const ends = from === undefined ? await usualEnds(daemon) : ([from, to ?? "default"] as const);
    // By commit from here on: both answers are about the same two, whatever happens meanwhile.
    const answer = await daemon.packageDiff(...ends);
    const told = options.changelogs === true ? await daemon.changelogs(answer.from.commit, answer.to.commit) : null;
    return { found: answer, changelogs: told };
  });
  if (options.json === true) context.stdout.write(`${JSON.stringify(changelogs === null ? found : { ...found, changelogs }, null, 2)}\n`);
  else context.stdout.write(text(found, changelogs));
  return OK;
}

/** `db version`: two revisions with equal digests have equal packages. */
export async function version(context: Context, globals: Globals, given: string | undefined, options: { readonly json?: boolean }): Promise<number> {
  const { revision, packages } = await withDaemon(context, globals, async (daemon) => daemon.packages(given ?? (await current(daemon))));
  const digest = digestOf(packages).slice(0, 16);
  if (options.json === true) {
    context.stdout.write(`${JSON.stringify({ revision, packages: packages.length, digest }, null, 2)}\n`);
    return OK;
  }
  const rows = [
    ["Revision:", nameOf(revision)],
    ["Version:", revision.version],
    ["Commit:", revision.commit],
    ["Date:", timeOf(revision.timestampS * 1000)],
    ["Packages:", `${packages.length}, digest ${digest}`],
  ];
  context.stdout.write(tableOf(rows.filter(([, value]) => value !== "").map((row) => row.map(printable))));
  return OK;
}

/** The booted revision, or what the next boot starts where this host runs from elsewhere. */
async function current(daemon: Pick<Daemon, "status">): Promise<string> {
  const { snapshot } = await daemon.status();
  return snapshot.deployments.some(({ booted }) => booted) ? "booted" : "default";
}

/** What a person wants to know of a system: what the next boot brings, or else what the last change brought. Throws NotFound where there is neither. */
async function usualEnds(daemon: Pick<Daemon, "status">): Promise<readonly [from: string, to: string]> {
  const { deployments } = (await daemon.status()).snapshot;
  const booted = deployments.some((one) => one.booted);
  if (booted && deployments.some(({ pending, staged }) => pending || staged)) return ["booted", "pending"];
  if (booted && deployments.some(({ rollback }) => rollback)) return ["rollback", "booted"];
  throw new AptOstreeError("NotFound", "cannot compare: there is no pending and no rollback deployment; name two revisions");
}

function text({ from, to, changes }: PackageDiff, changelogs: readonly ChangelogPart[] | null): string {
  const head = `${printable(nameOf(from))} -> ${printable(nameOf(to))}\n`;
  const body = changes.length === 0 ? "No packages differ.\n" : diffText(changes);
  return `${head}${body}${(changelogs ?? []).map(changelogText).join("")}`;
}

function changelogText({ name, from, to, text: entries, truncated }: ChangelogPart): string {
  const lines = entries === "" ? ["the package says nothing about it"] : entries.split("\n").map(printable);
  return `\n${name} ${from} -> ${to}\n${lines.map((line) => (line === "" ? "\n" : `  ${line}\n`)).join("")}${truncated ? "  …\n" : ""}`;
}

/** "booted 13.2", or the commit for what is only that. */
function nameOf({ name, version: label, commit }: Revision): string {
  const shown = commit.startsWith(name) ? commit.slice(0, 12) : name;
  return label === "" || label === shown ? shown : `${shown} (${label})`;
}
