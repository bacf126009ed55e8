/** The stage `planning`: which base, which packages, which archives; hashed, so that what runs can be held to it. */
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { packageName, titleOf } from "../../model/names.ts";
import { type Archive, digestOf, type InstalledPackage, type Plan } from "../../model/plan.ts";
import type { Deployment } from "../../model/sysroot.ts";
import type { Request } from "../../model/transaction.ts";
import type { StageEngine, StageInput, StageIo, StageOutput } from "../../scheduler/ports.ts";
import { usableLists } from "../apt/lists.ts";
import { solve } from "../apt/solve.ts";
import { type EngineContext, requireMergeDeployment, runningEtc } from "../context.ts";
import { DPKG_ADMIN_DIR, listPackages } from "../dpkg.ts";

/** Rises when the same packages on the same base would give another tree: remembered layers of older versions are not used. */
const POLICY_VERSION = 2;

/** Plans a transaction against the snapshot; what a prefetch plans is what an upgrade, or an install of its packages, would. */
export function planStage(context: EngineContext): StageEngine {
  return async (input: StageInput, io: StageIo): Promise<StageOutput> => {
    const merge = requireMergeDeployment(input.snapshot);
    const baseCommit = await targetBase(context, input.request, merge);
    io.progress(0.05, "preparing the base tree");
    const baseTree = await context.bases.ensure(baseCommit);
    const base = await listPackages(join(baseTree, DPKG_ADMIN_DIR));
    const requested = targetPackages(input.request, merge, base, io);
    const active = requested.filter((spec) => !satisfies(base, spec));
    const listsGeneration = (await usableLists(context.paths, input.facts.listsGeneration)) ?? "";
    io.progress(0.2, "resolving dependencies");
    const archives =
      active.length === 0
        ? []
        : await solve(context.paths, {
            baseTree,
            baseCommit,
            runningEtc: runningEtc(context, input.snapshot),
            listsGeneration,
            packages: active,
            doing: titleOf(input.request),
            signal: io.signal,
          });
    const layerKey = active.length === 0 ? "" : keyOf(baseCommit, active, archives);
    const isSame = merge.origin.baseCommit === baseCommit && merge.origin.layerKey === layerKey && merge.origin.requested.join() === requested.join();
    const plan: Plan = {
      epoch: input.snapshot.epoch,
      baseCommit,
      baseRefspec: merge.origin.refspec,
      requested,
      inactive: requested.filter((spec) => !active.includes(spec)),
      archives,
      listsGeneration,
      layerKey,
      changed: !isSame,
    };
    if (isSame && input.request.kind !== "prefetch") {
      const summary = input.request.kind === "upgrade" ? "everything is up to date" : "nothing to do: the request is satisfied already";
      return {
        facts: { plan, outcome: { changed: false, commit: merge.commit, staged: merge.staged, diff: [], summary } },
        cached: false,
        verdict: "settled",
      };
    }
    return { facts: { plan }, cached: false, verdict: "proceed" };
  };
}

/** Upgrade and a bare prefetch take what the base's ref holds now; the others keep the base of the merge deployment. */
async function targetBase(context: EngineContext, request: Request, merge: Deployment): Promise<string> {
  const follows = request.kind === "upgrade" || (request.kind === "prefetch" && request.packages.length === 0);
  if (!follows || merge.origin.refspec === "") return merge.origin.baseCommit;
  const commit = await context.commits.resolve(merge.origin.refspec);
  if (commit !== null) return commit;
  if (request.kind === "prefetch") return merge.origin.baseCommit;
  throw new AptOstreeError("NotFound", `cannot upgrade: the repository has no ref ${merge.origin.refspec}, which the deployment follows`);
}

/** The requested packages of the new deployment, sorted. */
function targetPackages(request: Request, merge: Deployment, base: readonly InstalledPackage[], io: StageIo): string[] {
  const before = merge.origin.requested;
  if (request.kind === "uninstall") return withoutPackages(request, before, new Set(base.map((p) => p.name)));
  if (request.kind !== "install" && request.kind !== "prefetch") return [...before];
  const already = request.packages.filter((spec) => satisfies(base, spec));
  if (already.length > 0 && request.kind === "install") io.message("info", `the base already has ${already.join(", ")}`);
  const added = request.packages.filter((spec) => !already.includes(spec));
  const replaced = new Set(added.map(withoutPin));
  // A new version or suite for a package replaces the older request for it.
  return [...new Set([...before.filter((spec) => !replaced.has(withoutPin(spec)) || added.includes(spec)), ...added])].sort();
}

/** Whether the base has what is asked for: that package, and that architecture and version where they are named. A suite is apt's to judge. */
function satisfies(base: readonly InstalledPackage[], spec: string): boolean {
  const [, name, , architecture, pin, version] = /^([^:=/]+)(:([^=/]+))?([=/])?(.*)$/.exec(spec) ?? [];
  if (pin === "/") return false;
  return base.some(
    (p) =>
      p.name === name &&
      (architecture === undefined || p.architecture === architecture || p.architecture === "all") &&
      (pin === undefined || p.version === version),
  );
}

/** "vim:amd64" of "vim:amd64=2:9.1". */
function withoutPin(spec: string): string {
  return spec.replace(/[=/].*$/, "");
}

/** Throws NotInstalled or ProtectedPackage, naming all of them. */
function withoutPackages(request: Request, before: readonly string[], inBase: ReadonlySet<string>): string[] {
  const names = new Set(before.map(packageName));
  const absent = request.packages.filter((spec) => !names.has(packageName(spec)));
  const ofBase = absent.filter((spec) => inBase.has(packageName(spec)));
  if (ofBase.length > 0) {
    throw new AptOstreeError("ProtectedPackage", `cannot uninstall ${ofBase.join(", ")}: part of the base, not layered`, {
      details: { packages: ofBase },
    });
  }
  if (absent.length > 0 && !request.idempotent) {
    throw new AptOstreeError(
      "NotInstalled",
      `cannot uninstall ${absent.join(", ")}: not requested; only packages that were installed by name can be uninstalled`,
      {
        details: { packages: absent },
      },
    );
  }
  const gone = new Set(request.packages.map(packageName));
  return before.filter((spec) => !gone.has(packageName(spec)));
}

function keyOf(baseCommit: string, active: readonly string[], archives: readonly Archive[]): string {
  return digestOf({
    policy: POLICY_VERSION,
    baseCommit,
    packages: active,
    archives: archives.map((archive) => `${archive.fileName} ${archive.hash}`).sort(),
  }).slice(0, 40);
}
