/** Answers about packages and remotes from memory: the tests of the bus say what there is. */
import type { InspectionPort, RemotesPort } from "../../src/dbus/ports.ts";
import { AptOstreeError } from "../../src/model/errors.ts";
import type { ChangelogPart, PackageDiff, PackageSet, Revision, Why, WhyNot } from "../../src/model/inspection.ts";
import { diffPackages, type InstalledPackage } from "../../src/model/plan.ts";
import type { Remote, RemoteRef, RemoteSettings } from "../../src/model/remote.ts";
import type { SysrootSnapshot } from "../../src/model/sysroot.ts";

/** Knows the packages of the revisions that a test sets. */
export class MemoryInspection implements InspectionPort {
  readonly sets = new Map<string, readonly InstalledPackage[]>();

  async revision(_snapshot: SysrootSnapshot, name: string): Promise<Revision> {
    if (!this.sets.has(name))
      throw new AptOstreeError("NotFound", `cannot find revision ${name}: the revisions are ${[...this.sets.keys()].join(", ")}`);
    return { name, commit: name.padEnd(64, "0"), version: "1", timestampS: 1_750_000_000, deployment: null };
  }

  async packages(snapshot: SysrootSnapshot, name: string): Promise<PackageSet> {
    return { revision: await this.revision(snapshot, name), packages: this.sets.get(name) ?? [] };
  }

  async diff(snapshot: SysrootSnapshot, from: string, to: string): Promise<PackageDiff> {
    const [before, after] = [await this.packages(snapshot, from), await this.packages(snapshot, to)];
    return { from: before.revision, to: after.revision, changes: diffPackages(before.packages, after.packages) };
  }

  async changelogs(snapshot: SysrootSnapshot, from: string, to: string): Promise<ChangelogPart[]> {
    return (await this.diff(snapshot, from, to)).changes.map((change) => ({ ...change, text: "", truncated: false }));
  }

  async why(snapshot: SysrootSnapshot, spec: string, name: string): Promise<Why> {
    const { revision, packages } = await this.packages(snapshot, name);
    const found = packages.find((one) => one.name === spec);
    if (found === undefined) throw new AptOstreeError("NotFound", `cannot explain ${spec}: it is not in ${name}`);
    return { revision, package: found, reason: "base", requests: [], auto: false, chain: [], wantedBy: [] };
  }

  async whyPlanned(snapshot: SysrootSnapshot, spec: string, wanted: readonly string[]): Promise<Why> {
    return await this.why(snapshot, spec, wanted.join(" "));
  }

  async whyNot(_snapshot: SysrootSnapshot, spec: string): Promise<WhyNot> {
    return { spec, verdict: "unknown", summary: `${spec} is unknown: no source has it`, reasons: [], explanation: [], versions: [], similar: [] };
  }
}

/** Remembers what was done to the remotes. */
export class MemoryRemotes implements RemotesPort {
  readonly settings = new Map<string, RemoteSettings>();

  async list(): Promise<Remote[]> {
    const remotes = [...this.settings];
    return remotes.map(([name, { url = "" }]) => ({ name, url, verification: ["gpg"], verifiesSummary: false, branches: [] }));
  }

  async refs(name: string): Promise<RemoteRef[]> {
    return [{ ref: `${name}/main`, commit: "c".repeat(64) }];
  }

  async add(name: string, settings: RemoteSettings): Promise<void> {
    this.settings.set(name, settings);
  }

  async modify(name: string, settings: RemoteSettings): Promise<void> {
    this.settings.set(name, { ...this.settings.get(name), ...settings });
  }

  async delete(_snapshot: SysrootSnapshot, name: string): Promise<void> {
    this.settings.delete(name);
  }
}
