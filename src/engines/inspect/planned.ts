/** Why a package would be in a tree that is only planned: what an install would bring, with the relations that apt's lists have. */
import type { Why } from "../../model/inspection.ts";
import type { InstalledPackage } from "../../model/plan.ts";
import type { SysrootSnapshot } from "../../model/sysroot.ts";
import { keyOf, type RelatedPackage } from "../../model/why.ts";
import { type EngineContext, requireMergeDeployment } from "../context.ts";
import { packageOfArchive, plannedPackages } from "../stages/planned.ts";
import { autoMarksOf, relatedPackagesOf } from "./database.ts";
import { type Trial, trialOn } from "./trial.ts";
import { explainPresence } from "./why.ts";

/** apt-cache's status where it does not know one of many; the others are printed. */
const NOT_ALL_KNOWN = 100;
/** One command line holds no more than some thousand names. */
const RECORDS_AT_ONCE = 1000;

/** Why an install of the packages, beside what is requested already, would bring another. Throws NotFound where it would not, and what planning throws. */
export async function explainPlanned(context: EngineContext, snapshot: SysrootSnapshot, spec: string, wanted: readonly string[]): Promise<Why> {
  const { baseCommit } = requireMergeDeployment(snapshot).origin;
  const base = await relatedPackagesOf(context.paths, baseCommit);
  const trial = await trialOn(context, snapshot, base);
  const { tree, solution } = await trial.install(wanted);
  const coming = [...solution.archives.map(({ fileName }) => fileName), ...solution.localFiles].map(packageOfArchive);
  const known = new Map([...base, ...(await recordsOf(trial, coming))].map((one) => [idOf(one), one]));
  const packages = plannedPackages(base, solution).map(
    (one) => known.get(idOf(one)) ?? { ...one, multiArch: "", provides: "", relations: NO_RELATIONS },
  );
  const arriving = new Set(coming.map(keyOf));
  const marks = await autoMarksOf(context.paths, baseCommit);
  return await explainPresence({
    revision: { name: `what install ${wanted.join(" ")} would make`, commit: "", version: "", timestampS: 0, deployment: null },
    ...{ spec, tree, packages, base },
    // What somebody asks for by name is found by its request; all else that comes, comes for others.
    isAuto: (one) => arriving.has(keyOf(one)) || marks(one),
  });
}

const NO_RELATIONS: RelatedPackage["relations"] = { "Pre-Depends": "", Depends: "", Recommends: "" };

/** The records of packages in the lists (apt-cache(8), show); a local package has none. */
async function recordsOf(trial: Trial, packages: readonly InstalledPackage[]): Promise<RelatedPackage[]> {
  const named = packages.map(({ name, architecture, version }) => `${architecture === "all" ? name : `${name}:${architecture}`}=${version}`);
  const records: RelatedPackage[] = [];
  for (let at = 0; at < named.length; at += RECORDS_AT_ONCE) {
    const text = await trial.aptCache("show", named.slice(at, at + RECORDS_AT_ONCE), [0, NOT_ALL_KNOWN]);
    records.push(...text.split(/\n{2,}/).flatMap(recordOf));
  }
  return records;
}

/** A stanza of a package index; a value goes on in lines that begin with a blank (deb822(5)). */
function recordOf(stanza: string): RelatedPackage[] {
  const fields = new Map(
    [...stanza.matchAll(/^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)$/gm)].map(([, name = "", value = ""]) => [name, value] as const),
  );
  const field = (name: string): string => (fields.get(name) ?? "").replace(/\s+/g, " ").trim();
  if (field("Package") === "") return [];
  return [
    {
      ...{ name: field("Package"), architecture: field("Architecture"), version: field("Version") },
      ...{ multiArch: field("Multi-Arch"), provides: field("Provides") },
      relations: { "Pre-Depends": field("Pre-Depends"), Depends: field("Depends"), Recommends: field("Recommends") },
    },
  ];
}

function idOf(one: InstalledPackage): string {
  return `${keyOf(one)}=${one.version}`;
}
