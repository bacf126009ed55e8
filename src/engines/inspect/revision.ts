/** Finding the commit that a person means by a deployment, a commit, a ref or a version. */
import { AptOstreeError } from "../../model/errors.ts";
import type { Revision } from "../../model/inspection.ts";
import { bootedDeployment, type Deployment, mergeDeployment, type SysrootSnapshot } from "../../model/sysroot.ts";
import type { Commits } from "../ostree/commits.ts";
import { ostreeRepo } from "../ostree/ostree.ts";
import { historyOf } from "../ostree/revision.ts";
import type { Paths } from "../paths.ts";

type Deployments = Pick<SysrootSnapshot, "deployments">;

/** The deployments that have a name of their own. */
const NAMED: Readonly<Record<string, (snapshot: Deployments) => Deployment | undefined>> = {
  booted: bootedDeployment,
  default: mergeDeployment,
  pending: ({ deployments }) => deployments.find((d) => d.pending || (d.staged && !d.booted)),
  staged: ({ deployments }) => deployments.find((d) => d.staged),
  rollback: ({ deployments }) => deployments.find((d) => d.rollback),
};

/** No option of ostree's, no path, nothing that a ref, a commit or a version cannot be. */
const REVISION = /^[A-Za-z0-9_][A-Za-z0-9._:/~+^-]{0,254}$/;
/** ostree's own refs and ours say nothing to a person. */
const INTERNAL_REFS = /^(ostree|apt-ostree)\//;
/** As many refs are searched for a version, and as many of each are named in an error. */
const MAX_SEARCHED = 16;
const MAX_NAMED = 8;

/** What there is to find revisions in. */
export interface RevisionSources {
  readonly paths: Paths;
  readonly commits: Commits;
}

/**
 * The revision that a name stands for, in this order: "booted", "default", "pending", "staged" or "rollback", the index of a deployment, a
 * commit or the unambiguous start of one (4 digits or more), a ref, a version in the history of a ref or of a deployment.
 * Throws NotFound with what there is, InvalidRequest for what cannot be a name of a revision.
 */
export async function revisionNamed(sources: RevisionSources, snapshot: Deployments, name: string): Promise<Revision> {
  if (!REVISION.test(name))
    throw new AptOstreeError("InvalidRequest", `cannot find revision ${JSON.stringify(name.slice(0, 80))}: that is no name for one`);
  const named = Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;
  if (named !== undefined) {
    const deployment = named(snapshot);
    if (deployment === undefined) throw await notFound(sources, snapshot, name, "there is no such deployment");
    return ofDeployment(name, deployment);
  }
  if (/^\d{1,3}$/.test(name)) {
    const deployment = snapshot.deployments[Number(name)];
    if (deployment !== undefined) return ofDeployment(name, deployment);
  }
  const commit = (await ofCommit(sources, name)) ?? (await ofVersion(sources, snapshot, name));
  if (commit === null) throw await notFound(sources, snapshot, name, "it is no deployment, commit, ref or version");
  const { version, timestampS } = await sources.commits.facts(commit);
  return { name, commit, version, timestampS, deployment: null };
}

function ofDeployment(name: string, { commit, version, timestampS, index }: Deployment): Revision {
  return { name, commit, version, timestampS, deployment: index };
}

/** A commit or a ref. libostree takes an abbreviated commit where only one begins so; with few digits that is luck. */
async function ofCommit({ commits }: RevisionSources, name: string): Promise<string | null> {
  return /^[0-9a-f]{1,3}$/.test(name) ? null : await commits.resolve(name);
}

/** The newest commit of a version: in the histories of the refs, else among the deployments. Throws InvalidRequest where several have it. */
async function ofVersion(sources: RevisionSources, snapshot: Deployments, version: string): Promise<string | null> {
  for (const ref of (await refsOf(sources)).slice(0, MAX_SEARCHED)) {
    const found = (await historyOf(sources.paths, ref)).find((one) => one.version === version);
    if (found !== undefined) return found.commit;
  }
  const found = [...new Set(snapshot.deployments.filter((d) => d.version === version).map((d) => d.commit))];
  if (found.length > 1)
    throw new AptOstreeError(
      "InvalidRequest",
      `cannot choose revision ${version}: ${found.length} deployments have that version; name one by its index`,
    );
  return found[0] ?? null;
}

async function refsOf({ paths }: RevisionSources): Promise<string[]> {
  const text = await ostreeRepo(paths, "list refs", ["refs", "--list"]);
  return text.split("\n").filter((ref) => ref !== "" && !INTERNAL_REFS.test(ref));
}

async function notFound(sources: RevisionSources, snapshot: Deployments, name: string, why: string): Promise<AptOstreeError> {
  const deployments = [
    ...Object.keys(NAMED).filter((one) => NAMED[one]?.(snapshot) !== undefined),
    ...snapshot.deployments.map(({ index, version }) => (version === "" ? String(index) : `${index} (${version})`)),
  ];
  const refs = await refsOf(sources);
  const some = (names: readonly string[]): string =>
    `${names.slice(0, MAX_NAMED).join(", ")}${names.length > MAX_NAMED ? `, and ${names.length - MAX_NAMED} more` : ""}`;
  const there = [
    ...(deployments.length === 0 ? [] : [`the deployments are ${some(deployments)}`]),
    ...(refs.length === 0 ? [] : [`the refs are ${some(refs)}`]),
  ];
  return new AptOstreeError("NotFound", `cannot find revision ${name}: ${[why, ...there].join("; ")}`, {
    details: { revision: name, deployments, refs: refs.slice(0, MAX_SEARCHED) },
  });
}
