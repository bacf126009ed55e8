/** Answers to questions about the packages of deployments and commits. They take no lock and change nothing. */
import PQueue from "p-queue";
import { AptOstreeError } from "../../model/errors.ts";
import type { ChangelogPart, PackageDiff, PackageSet, Revision, Why, WhyNot } from "../../model/inspection.ts";
import { checkPackageSpec } from "../../model/names.ts";
import { diffPackages, type InstalledPackage } from "../../model/plan.ts";
import type { SysrootSnapshot } from "../../model/sysroot.ts";
import { compareVersions } from "../../model/version.ts";
import type { EngineContext } from "../context.ts";
import { changelogPart } from "./changelogs.ts";
import { packagesOf } from "./database.ts";
import { explainPlanned } from "./planned.ts";
import { revisionNamed } from "./revision.ts";
import { explainPresence, presenceIn } from "./why.ts";
import { whyNot } from "./whynot.ts";

/** Questions that are worked on at once: whoever asks many must not take the machine from a transaction. */
const CONCURRENCY = 2;
const MAX_QUEUED = 64;
/** Commits whose packages are remembered; commits never change. */
const MAX_REMEMBERED = 8;
/** An upgrade of a release has more; the changelogs of so many are a book. */
const MAX_CHANGELOGS = 500;

/** Answers, each from the snapshot that it is given. */
export class Inspector {
  readonly #context: EngineContext;
  readonly #queue = new PQueue({ concurrency: CONCURRENCY });
  readonly #packages = new Map<string, Promise<InstalledPackage[]>>();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** The commit that a name stands for. Throws NotFound, InvalidRequest. */
  revision(snapshot: SysrootSnapshot, name: string): Promise<Revision> {
    return this.#inTurn(() => revisionNamed(this.#context, snapshot, name));
  }

  /** The packages of a revision. Throws NotFound, InvalidRequest. */
  packages(snapshot: SysrootSnapshot, name: string): Promise<PackageSet> {
    return this.#inTurn(async () => {
      const revision = await revisionNamed(this.#context, snapshot, name);
      return { revision, packages: await this.#packagesOf(revision.commit) };
    });
  }

  /** How the packages of two revisions differ. Throws NotFound, InvalidRequest. */
  diff(snapshot: SysrootSnapshot, from: string, to: string): Promise<PackageDiff> {
    return this.#inTurn(() => this.#diff(snapshot, from, to));
  }

  /** What the changelogs of the packages say that are newer in the second revision than in the first. Throws NotFound, InvalidRequest. */
  changelogs(snapshot: SysrootSnapshot, from: string, to: string): Promise<ChangelogPart[]> {
    return this.#inTurn(async () => {
      const { changes, to: newer } = await this.#diff(snapshot, from, to);
      const upgraded = changes.filter((change) => change.from !== "" && change.to !== "" && compareVersions(change.from, change.to) < 0);
      const parts: ChangelogPart[] = [];
      for (const change of upgraded.slice(0, MAX_CHANGELOGS)) parts.push(await changelogPart(this.#context.paths, newer.commit, change));
      return parts;
    });
  }

  /** Why a package, "NAME" or "NAME:ARCHITECTURE", is in a revision. Throws NotFound where it is not there, InvalidRequest. */
  why(snapshot: SysrootSnapshot, given: string, name: string): Promise<Why> {
    const spec = checkPackageSpec(given);
    return this.#inTurn(async () => {
      const revision = await revisionNamed(this.#context, snapshot, name);
      const deployment = snapshot.deployments.find(({ commit }) => commit === revision.commit);
      const packagesOf = (commit: string) => this.#packagesOf(commit);
      return await explainPresence(await presenceIn(this.#context.paths, revision, spec, deployment, packagesOf));
    });
  }

  /** Why a package would be there if others were installed now. Throws NotFound where it would not, InvalidRequest, and what planning throws. */
  whyPlanned(snapshot: SysrootSnapshot, given: string, wanted: readonly string[]): Promise<Why> {
    const [spec, specs] = [checkPackageSpec(given), wanted.map(checkPackageSpec)];
    return this.#inTurn(() => explainPlanned(this.#context, snapshot, spec, specs));
  }

  /** Why a package is not there, and whether it could be. Throws NotFound without package lists, InvalidRequest. */
  whyNot(snapshot: SysrootSnapshot, given: string): Promise<WhyNot> {
    const spec = checkPackageSpec(given);
    return this.#inTurn(() => whyNot(this.#context, snapshot, spec, (commit) => this.#packagesOf(commit)));
  }

  async #diff(snapshot: SysrootSnapshot, fromName: string, toName: string): Promise<PackageDiff> {
    const [from, to] = await Promise.all([fromName, toName].map((name) => revisionNamed(this.#context, snapshot, name)));
    if (from === undefined || to === undefined) throw new AptOstreeError("Internal", "internal error: a revision got lost");
    return { from, to, changes: diffPackages(await this.#packagesOf(from.commit), await this.#packagesOf(to.commit)) };
  }

  #packagesOf(commit: string): Promise<InstalledPackage[]> {
    const known = this.#packages.get(commit);
    if (known !== undefined) return known;
    const reading = packagesOf(this.#context.paths, commit);
    this.#packages.set(commit, reading);
    reading.catch(() => this.#packages.delete(commit));
    const oldest = this.#packages.keys().next().value;
    if (this.#packages.size > MAX_REMEMBERED && oldest !== undefined) this.#packages.delete(oldest);
    return reading;
  }

  /** Throws Busy where too many wait. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#queue.size >= MAX_QUEUED) throw new AptOstreeError("Busy", `cannot answer: ${this.#queue.size} questions wait already`);
    return this.#queue.add(work);
  }
}
