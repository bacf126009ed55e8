/** `apt-ostree why` and `why-not`: why a package is there, or is not. */
import type { Link, Why, WhyNot } from "../../model/inspection.ts";
import { localTitle } from "../../model/tree.ts";
import type { Context, Globals } from "../context.ts";
import { OK } from "../exit.ts";
import { printable, tableOf } from "../format.ts";
import { withDaemon } from "../session.ts";

/** The status where a package could not be installed. */
const IN_THE_WAY = 1;
/** So many packages that want one are shown; JSON has more. */
const MAX_SHOWN = 10;

/** The options of `why`. */
export interface WhyOptions {
  readonly json?: boolean;
  readonly revision?: string;
  /** Packages of an install that is only planned. */
  readonly with?: readonly string[];
}

/** `why`: in the revision that the next boot starts, unless another or an install is named. */
export async function why(context: Context, globals: Globals, spec: string, options: WhyOptions): Promise<number> {
  const { with: wanted, revision = "default" } = options;
  const found = await withDaemon(context, globals, (daemon) => (wanted === undefined ? daemon.why(spec, revision) : daemon.whyPlanned(spec, wanted)));
  context.stdout.write(options.json === true ? `${JSON.stringify(found, null, 2)}\n` : whyText(found));
  return OK;
}

/** `why-not`: what installing it now would meet with. */
export async function whyNot(context: Context, globals: Globals, spec: string, options: { readonly json?: boolean }): Promise<number> {
  const found = await withDaemon(context, globals, (daemon) => daemon.whyNot(spec));
  context.stdout.write(options.json === true ? `${JSON.stringify(found, null, 2)}\n` : whyNotText(found));
  return found.verdict === "present" || found.verdict === "installable" ? OK : IN_THE_WAY;
}

function whyText(found: Why): string {
  const { name, version } = found.package;
  const lines = [`${name} ${version} is ${reasonOf(found)}`];
  if (found.chain.length > 0) lines.push("How it is reached:", ...found.chain.map((link) => `  ${linkText(link)}`));
  const direct = found.wantedBy.filter(({ from }) => from !== found.chain.at(-1)?.from);
  if (direct.length > 0) {
    lines.push(found.chain.length > 0 ? "Also wanted by:" : "Wanted by:", ...direct.slice(0, MAX_SHOWN).map((link) => `  ${linkText(link)}`));
    if (direct.length > MAX_SHOWN) lines.push(`  and ${direct.length - MAX_SHOWN} more`);
  }
  return `${lines.map(printable).join("\n")}\n`;
}

function reasonOf({ reason, requests, auto, chain }: Why): string {
  const named = `as ${requests.map(requestTitle).join(", ")}`;
  if (reason === "base") return requests.length === 0 ? "part of the base" : `part of the base; it was also requested ${named}, which is inactive`;
  if (reason === "override") return `there in place of the base's, by an override: ${requests.map(requestTitle).join(", ")}`;
  if (reason === "requested") return `layered because it was requested ${named}`;
  if (chain.length > 0) return "layered because something that was requested needs it";
  return auto ? "layered, and nothing that was requested needs it now" : "layered, and marked as installed by name";
}

/** A request as a person made it, and a local package without its hash. */
function requestTitle(request: string): string {
  return request.includes("@") ? localTitle(request) : request;
}

/** "nginx: Depends: nginx-common (>= 1.2), provided by …"; the architecture says little and is left out. */
function linkText({ from, field, relation, to, provided }: Link): string {
  const bare = (key: string): string => key.replace(/:[^:]*$/, "");
  return `${bare(from)} ${field}: ${relation}${provided ? `, which ${bare(to)} provides` : ""}`;
}

function whyNotText({ summary, reasons, versions, similar }: WhyNot): string {
  const lines = [summary, ...reasons.map((reason) => `  ${reason}`)];
  if (versions.length > 0)
    lines.push(
      "Versions in the sources:",
      ...tableOf(versions.map(({ version, source }) => [`  ${version}`, source]))
        .trimEnd()
        .split("\n"),
    );
  if (similar.length > 0) lines.push(`Similar names: ${similar.join(", ")}`);
  return `${lines.map(printable).join("\n")}\n`;
}
