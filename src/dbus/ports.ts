/** What the doors need beside the scheduler, as interfaces: `src/engines` implements them, `src/daemon.ts` is where they meet. */
import type { ChangelogPart, PackageDiff, PackageSet, Revision, Why, WhyNot } from "../model/inspection.ts";
import type { Remote, RemoteRef, RemoteSettings } from "../model/remote.ts";
import type { SysrootSnapshot } from "../model/sysroot.ts";

/** Answers about the packages of revisions, from the snapshot that they are given. They throw NotFound, InvalidRequest, and Busy where too many wait. */
export interface InspectionPort {
  revision(snapshot: SysrootSnapshot, name: string): Promise<Revision>;
  packages(snapshot: SysrootSnapshot, name: string): Promise<PackageSet>;
  diff(snapshot: SysrootSnapshot, from: string, to: string): Promise<PackageDiff>;
  changelogs(snapshot: SysrootSnapshot, from: string, to: string): Promise<readonly ChangelogPart[]>;
  why(snapshot: SysrootSnapshot, spec: string, name: string): Promise<Why>;
  whyPlanned(snapshot: SysrootSnapshot, spec: string, wanted: readonly string[]): Promise<Why>;
  whyNot(snapshot: SysrootSnapshot, spec: string): Promise<WhyNot>;
}

/** The remotes. Names and settings are checked by the caller. Questions throw Busy where too many wait. */
export interface RemotesPort {
  list(): Promise<readonly Remote[]>;
  refs(name: string): Promise<readonly RemoteRef[]>;
  add(name: string, settings: RemoteSettings): Promise<void>;
  modify(name: string, settings: RemoteSettings): Promise<void>;
  /** Throws Conflict where a deployment follows it, unless forced. */
  delete(snapshot: SysrootSnapshot, name: string, force: boolean): Promise<void>;
}
