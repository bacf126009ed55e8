/** The stage `assembling`: from a plan to a commit that is held by a ref, or to the bare base where nothing is layered. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { diffPackages, type InstalledPackage, type Plan, treeOfPlan } from "../../model/plan.ts";
import { localTitle, type TreeState } from "../../model/tree.ts";
import type { Layer, StageEngine, StageInput, StageIo, StageOutput } from "../../scheduler/ports.ts";
import { architecturesOf } from "../apt/architectures.ts";
import { currentLists, listsDir } from "../apt/lists.ts";
import { aptCacheDir } from "../apt/readroot.ts";
import { decisiveSettings } from "../apt/settings.ts";
import { wordsFor } from "../apt/words.ts";
import { type EngineContext, runningEtc } from "../context.ts";
import { type DebconfAnswers, readAnswers } from "../debconf.ts";
import { DPKG_ADMIN_DIR, listPackages } from "../dpkg.ts";
import { captureAccounts } from "../layer/accounts.ts";
import { checkLayer, scrubUpper } from "../layer/check.ts";
import { commitLayer } from "../layer/commit.ts";
import { EarlyImport } from "../layer/early.ts";
import { settleBoot } from "../layer/kernel.ts";
import { type Assembly, workTree } from "../layer/mount.ts";
import { pinNumbers } from "../layer/numbers.ts";
import { inPlace, type Place } from "../layer/place.ts";
import { installPackages } from "../layer/run.ts";
import { tidyLayer } from "../layer/tidy.ts";
import { scanUpper, stripOverlayAttributes } from "../layer/upper.ts";
import { requireKept } from "../local/kept.ts";
import { holdBase, layerRef, readRef } from "../ostree/refs.ts";
import { captureVar } from "../var.ts";
import { requirePlan } from "./download.ts";
import { packageOfArchive } from "./planned.ts";

/** Assembles the layer of the plan; a remembered layer is taken as it is. */
export function assembleStage(context: EngineContext): StageEngine {
  return async (input: StageInput, io: StageIo): Promise<StageOutput> => {
    const plan = requirePlan(input.facts);
    await holdBase(context.paths, plan.baseCommit);
    const known = await existing(context, plan);
    if (known === null && !(await inputsAreThere(context, plan))) {
      io.message("warning", "package lists or archives of the plan were cleaned up meanwhile: planning again");
      return { facts: { listsGeneration: (await currentLists(context.paths)) ?? "" }, cached: false, verdict: "replan" };
    }
    const answers = await readAnswers(runningEtc(context, input.snapshot));
    if (known === null && answers.digest !== (plan.answers ?? "")) {
      io.message("warning", "the answers to debconf were changed meanwhile: planning again");
      return { facts: {}, cached: false, verdict: "replan" };
    }
    const layer = known ?? (await assemble(context, input, io, plan, answers));
    return { facts: { layer }, cached: layer.cached, verdict: "proceed" };
  };
}

async function existing(context: EngineContext, plan: Plan): Promise<Layer | null> {
  if (plan.layerKey === "") return { commit: plan.baseCommit, packages: [], cached: true };
  if (plan.rebuild === true) return null;
  const commit = await readRef(context.paths, layerRef(plan.layerKey));
  return commit === null ? null : { commit, packages: (await context.commits.facts(commit)).layered, cached: true };
}

/** Nothing is locked between the stages, so a cleanup may have come first. */
async function inputsAreThere(context: EngineContext, plan: Plan): Promise<boolean> {
  const isThere = (path: string): Promise<boolean> =>
    stat(path).then(
      () => true,
      () => false,
    );
  const paths = [listsDir(context.paths, plan.listsGeneration), ...plan.archives.map((archive) => join(context.paths.archives, archive.fileName))];
  return (await Promise.all(paths.map(isThere))).every(Boolean);
}

async function assemble(context: EngineContext, input: StageInput, io: StageIo, plan: Plan, answers: DebconfAnswers): Promise<Layer> {
  const { runId } = input;
  const { settings, paths } = context;
  const place = { runId, directory: join(paths.work, runId), expectedBytes: UNPACKED_RATIO * archiveBytes(plan), settings, io };
  return await inPlace(place, (where) => assembleIn(where, context, input, io, plan, answers));
}

async function assembleIn(place: Place, context: EngineContext, input: StageInput, io: StageIo, plan: Plan, answers: DebconfAnswers): Promise<Layer> {
  const baseTree = await context.bases.ensure(plan.baseCommit);
  const facts = await context.commits.facts(plan.baseCommit);
  const to = treeOfPlan(plan);
  await requireKept(context.paths, [...to.requestedLocal, ...to.replacedLocal]);
  const { workspace } = place;
  const words = wordsFor(to, plan.inactive);
  const tree = workTree(workspace.directory);
  const etc = runningEtc(context, input.snapshot);
  const lists = listsDir(context.paths, plan.listsGeneration);
  const aptCache = await aptCacheDir(context.paths, plan.listsGeneration, plan.baseCommit);
  const decisive = await decisiveSettings({ baseTree, runningEtc: etc, lists, cache: aptCache, purpose: "plan" });
  const bounds = { sourceDateEpochS: facts.timestampS, signal: io.signal, timeoutMs: context.settings.installTimeoutMs };
  const assembly: Assembly = { ...place, ...bounds, baseTree };
  const early = new EarlyImport(context.paths, input.runId, tree.upper, workspace.directory, io.signal);
  try {
    await installPackages(assembly, {
      runningEtc: etc,
      lists,
      archives: context.paths.archives,
      aptCache,
      locals: context.paths.locals,
      words: { ...words, config: [...words.config, ...decisive] },
      architectures: architecturesOf(plan.archives, [...to.requestedLocal, ...to.replacedLocal]),
      answers: answers.text,
      network: plan.scriptNetwork === true,
      archiveCount: plan.archives.length,
      onUnpacked: () => {
        if (archiveBytes(plan) >= EARLY_FROM_BYTES) early.begin();
      },
      onProgress: (percent, text) => io.progress((INSTALL_SHARE * percent) / 100, text),
    });
    await settleBoot(assembly, {
      onInitramfs: () => io.progress(INSTALL_SHARE, "making the initramfs"),
      onMessage: (text) => io.message("info", text),
    });
    io.progress(COMMIT_FROM, "committing the layer");
    await scrubUpper(tree);
    for (const told of await tidyLayer(tree)) io.message("warning", told);
    const numbers = { tree, baseTree, runningEtc: etc, pins: context.paths.pins, scratch: workspace.directory };
    for (const name of await pinNumbers(numbers))
      io.message("warning", `the account ${name} has another number than before, as that is taken: what it has in /var must be given to it by hand`);
    const scan = await scanUpper(tree.upper, baseTree);
    await checkLayer(tree, scan);
    const change = await changedPackages(baseTree, tree.upper);
    requirePlanned(plan, change);
    const { layered } = change;
    await stripOverlayAttributes(scan);
    await captureAccounts(tree.upper, baseTree);
    await captureVar({ var: tree.var, root: tree.upper, base: baseTree, etc: "usr/etc", files: LAYER_TMPFILES, doing: "commit the layer" });
    const { version, timestampS } = facts;
    const { baseCommit, layerKey } = plan;
    const layer = {
      baseCommit,
      layerKey,
      version,
      timestampS,
      layered,
      subject: subjectOf(to),
      scratch: workspace.insideDirectory,
    };
    const commit = await commitLayer(context.paths, tree.upper, scan, { ...layer, early: await early.finish(scan) }, io.signal);
    return { commit, packages: layered, cached: false };
  } finally {
    await early.close();
  }
}

function archiveBytes(plan: Plan): number {
  return plan.archives.reduce((sum, archive) => sum + archive.sizeBytes, 0);
}

/** What was approved is what is there: apt's second decision must be its first. Throws Conflict. */
function requirePlanned(plan: Plan, { before, layered, removed }: PackageSets): void {
  const { requestedLocal, replacedLocal } = treeOfPlan(plan);
  const locals = [...requestedLocal, ...replacedLocal].filter((local) => !plan.inactive.includes(local));
  // A local package may have the version of the one of the base that it replaces.
  const unchanged = new Set(before.map(nameOfPackage));
  const archives = plan.archives.map(({ fileName }) => nameOfPackage(packageOfArchive(fileName)));
  const planned = new Set([
    ...archives,
    ...locals.map(localTitle).filter((title) => !unchanged.has(title)),
    ...(plan.removals ?? []).map((name) => `no ${name.replace(/:.*$/, "")}`),
  ]);
  const found = new Set([...layered.map((p) => nameOfPackage(p)), ...removed.map((name) => `no ${name}`)]);
  const differing = [...[...found].filter((one) => !planned.has(one)), ...[...planned].filter((one) => !found.has(one))].sort();
  if (differing.length === 0) return;
  throw new AptOstreeError("Conflict", `cannot commit the layer: it differs from the plan in ${differing.slice(0, 20).join(", ")}`, {
    details: { packages: differing },
  });
}

/** Where a layer declares what it needs under /var. */
const LAYER_TMPFILES = { state: "usr/lib/tmpfiles.d/00-apt-ostree-layer.conf", rest: "usr/lib/tmpfiles.d/apt-ostree-layer.conf" };

/** A smaller layer is committed sooner than an early import has begun. */
const EARLY_FROM_BYTES = 8 * 1024 * 1024;
/** Packages unpack to some three times their size, five to be safe. */
const UNPACKED_RATIO = 5;

/** Of the stage's time, what apt and dpkg take. */
const INSTALL_SHARE = 0.75;
/** And when the kernel and its initramfs are in their place. */
const COMMIT_FROM = 0.85;

function nameOfPackage({ name, version }: InstalledPackage): string {
  return `${name} ${version}`;
}

/** The packages of a base and of the tree that is layered on it. */
interface PackageSets {
  readonly before: readonly InstalledPackage[];
  readonly layered: readonly InstalledPackage[];
  readonly removed: readonly string[];
}

/** What dpkg has in the layered tree that the base has not, or not so; and the names of which the base has a package and the tree none. */
async function changedPackages(baseTree: string, upper: string): Promise<PackageSets> {
  const [before, after] = await Promise.all([listPackages(join(baseTree, DPKG_ADMIN_DIR)), listPackages(join(upper, DPKG_ADMIN_DIR))]);
  const changes = diffPackages(before, after);
  const coming = changes.filter(({ to }) => to !== "");
  const names = new Set(coming.map(({ name }) => name));
  return {
    before,
    layered: coming.map(({ name, architecture, to }) => ({ name, architecture, version: to })),
    removed: changes.filter(({ name, to }) => to === "" && !names.has(name)).map(({ name }) => name),
  };
}

/** The first words of the commit, for people. */
function subjectOf(tree: TreeState): string {
  const named = [
    ...tree.requested,
    ...[...tree.requestedLocal, ...tree.replacedLocal].map(localTitle),
    ...tree.replaced,
    ...tree.removed.map((name) => `${name}-`),
  ];
  const words = [...(tree.followsApt ? ["apt's newest"] : []), ...named];
  return `layer: ${words.slice(0, 20).join(" ")}${words.length > 20 ? " …" : ""}`;
}
