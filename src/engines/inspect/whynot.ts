/** Why a package cannot be installed: the planner is asked, and what it says is set against what the base has. */
import { join } from "node:path";
import { withoutCredentials } from "../../model/credentials.ts";
import { AptOstreeError } from "../../model/errors.ts";
import type { WhyNot } from "../../model/inspection.ts";
import { packageName } from "../../model/names.ts";
import type { InstalledPackage } from "../../model/plan.ts";
import type { SysrootSnapshot } from "../../model/sysroot.ts";
import type { TreeState } from "../../model/tree.ts";
import { satisfies } from "../../model/treeafter.ts";
import { compareVersions } from "../../model/version.ts";
import type { Solution } from "../apt/solve.ts";
import { type EngineContext, requireMergeDeployment } from "../context.ts";
import { DPKG_ADMIN_DIR, listPackageStates } from "../dpkg.ts";
import { packageOfArchive } from "../stages/planned.ts";
import { type Trial, trialOn } from "./trial.ts";

const MAX_VERSIONS = 20;
const MAX_SIMILAR = 8;

type Plain = Pick<WhyNot, "verdict" | "summary" | "reasons">;
type Found = Plain & Pick<WhyNot, "explanation">;
/** The packages of a commit. */
type PackagesOf = (commit: string) => Promise<readonly InstalledPackage[]>;

/** Asks what installing a package now, beside what is requested already, would come to; nothing is changed. Throws NotFound without package lists. */
export async function whyNot(context: EngineContext, snapshot: SysrootSnapshot, spec: string, packagesOf: PackagesOf): Promise<WhyNot> {
  const merge = requireMergeDeployment(snapshot);
  const { baseCommit } = merge.origin;
  const baseTree = await context.bases.ensure(baseCommit);
  const states = await listPackageStates(join(baseTree, DPKG_ADMIN_DIR));
  const base = states.filter(({ abbrev }) => abbrev[1] === "i");
  const held = base.filter(({ abbrev }) => abbrev[0] === "h");
  const present = await packagesOf(merge.commit);
  const plain = presence(spec, present, base) ?? takenOut(spec, merge.origin);
  if (plain !== null) return { spec, ...plain, explanation: [], versions: [], similar: [] };

  const trial = await trialOn(context, snapshot, base);
  const versions = await versionsOf(trial, packageName(spec));
  const found = await verdictOf(spec, base, held, present, async () => (await trial.install([spec])).solution);
  const similar = found.verdict === "unknown" && versions.length === 0 ? await similarNames(trial, packageName(spec)) : [];
  return { spec, ...found, versions, similar };
}

function presence(spec: string, present: readonly InstalledPackage[], base: readonly InstalledPackage[]): Plain | null {
  const found = present.find((one) => satisfies([one], spec));
  if (found === undefined) return null;
  const { name, version, architecture } = found;
  const where = satisfies(base, `${name}:${architecture}=${version}`) ? "part of the base" : "layered";
  return { verdict: "present", summary: `${name} ${version} is there: it is ${where}`, reasons: [] };
}

function takenOut(spec: string, { removed }: TreeState): Plain | null {
  const name = packageName(spec);
  if (!removed.includes(name)) return null;
  return { verdict: "protected", summary: `${name} is taken out of the base by an override`, reasons: [`"override reset ${name}" brings it back`] };
}

async function verdictOf(
  spec: string,
  base: readonly InstalledPackage[],
  held: readonly InstalledPackage[],
  present: readonly InstalledPackage[],
  plan: () => Promise<Solution>,
): Promise<Found> {
  try {
    const { archives } = await plan();
    const coming = archives.map(({ fileName }) => packageOfArchive(fileName)).filter((one) => !satisfies(present, `${one.name}=${one.version}`));
    const summary = `nothing stands in the way of ${spec}: it would bring ${coming.length} package${coming.length === 1 ? "" : "s"}`;
    return { verdict: "installable", summary, reasons: coming.map(({ name, version }) => `${name} ${version}`), explanation: [] };
  } catch (error) {
    if (!(error instanceof AptOstreeError)) throw error;
    const found = explain(spec, error, base);
    if (found === null) throw error;
    const named = held.filter(({ name }) => found.reasons.some((reason) => mentions(reason, name)));
    const explanation = strings(error.details.explanation);
    return { ...found, explanation, reasons: [...found.reasons, ...named.map(({ name, version }) => `${name} is held at ${version}`)] };
  }
}

function explain(spec: string, error: AptOstreeError, base: readonly InstalledPackage[]): Plain | null {
  if (error.code === "UnknownPackage") return { verdict: "unknown", summary: `${spec} is unknown: no source has it`, reasons: [reasonOf(error)] };
  if (error.code === "ProtectedPackage") {
    const reasons = (["removed", "upgraded", "downgraded"] as const).flatMap((what) =>
      strings(error.details[what]).map((name) => `the base's ${name} ${versionIn(base, name)} would be ${what}`.replace("  ", " ")),
    );
    const summary = `${spec} would change the base, which a layer never does; a newer base may have what it needs`;
    return { verdict: "protected", summary, reasons: reasons.length > 0 ? reasons : [reasonOf(error)] };
  }
  if (error.code === "Conflict") return { verdict: "protected", summary: `${spec} is named by an override`, reasons: [reasonOf(error)] };
  if (error.code !== "Unsatisfiable") return null;
  const said = strings(error.details.reasons);
  const reasons = said.length > 0 ? said : [reasonOf(error)];
  // A name of the base in apt's reasons tells whether another base could help.
  const named = base.filter(({ name }) => name !== packageName(spec) && reasons.some((reason) => mentions(reason, name)));
  return {
    verdict: "unsatisfiable",
    summary: `${spec} cannot be installed${named.length > 0 ? `: it does not go with ${named.map((one) => one.name).join(", ")} of the base` : ""}`,
    reasons: [...reasons, ...named.map(({ name, version }) => `the base has ${name} ${version}`)],
  };
}

/** The sources that have a package, newest version first (apt-cache(8), madison). */
async function versionsOf(trial: Trial, name: string): Promise<WhyNot["versions"]> {
  const text = await trial.aptCache("madison", [name]);
  const rows = text.split("\n").flatMap((line) => {
    const [, version, source] = line.split("|").map((cell) => cell.trim());
    return version === undefined || source === undefined || source.endsWith(" Sources") ? [] : [{ version, source: withoutCredentials(source) }];
  });
  return rows.sort((a, b) => compareVersions(b.version, a.version)).slice(0, MAX_VERSIONS);
}

/** Names that begin as the wanted one does, those with most in common first. */
async function similarNames(trial: Trial, name: string): Promise<string[]> {
  const names = (await trial.aptCache("pkgnames", [name.slice(0, Math.max(2, Math.ceil(name.length / 2)))])).split("\n").filter((one) => one !== "");
  const common = (other: string): number => [...other].findIndex((letter, at) => letter !== name[at]) >>> 0;
  const distance = (other: string): number => Math.abs(other.length - name.length);
  return names.sort((a, b) => common(b) - common(a) || distance(a) - distance(b)).slice(0, MAX_SIMILAR);
}

/** Whether a package is named in a sentence of apt's, as a word of its own. */
function mentions(text: string, name: string): boolean {
  return text.split(/[\s,:|()=]+/).includes(name);
}

function versionIn(base: readonly InstalledPackage[], name: string): string {
  return base.find((one) => one.name === packageName(name))?.version ?? "";
}

/** The message of an error without its "cannot …: ". */
function reasonOf(error: AptOstreeError): string {
  return error.message.replace(/^cannot [^:]*: /, "");
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
}
