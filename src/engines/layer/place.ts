/** Where a layer is assembled and what its scripts may use: in memory where it fits, within limits everywhere. */
import { statfs } from "node:fs/promises";
import { AptOstreeError } from "../../model/errors.ts";
import type { StageIo } from "../../scheduler/ports.ts";
import type { EngineSettings } from "../context.ts";
import { limitHint } from "./failure.ts";
import { confine } from "./limits.ts";
import type { Assembly } from "./mount.ts";
import { availableMemory, onDisk, openWorkspace, type Workspace } from "./workspace.ts";

/** Of the available memory; what scripts leave to the rest of the machine in any case is the remainder. */
const MEMORY_SHARE = 0.8;

/** A place for an assembly. */
export type Place = Pick<Assembly, "workspace" | "confinement">;

/** What is known of the assembly beforehand. */
export interface PlaceOptions {
  readonly runId: string;
  /** Its own, on the repository's file system. */
  readonly directory: string;
  /** What the layer is expected to hold, unpacked. */
  readonly expectedBytes: number;
  readonly settings: Pick<EngineSettings, "scriptMemoryBytes" | "scriptProcesses">;
  readonly io: Pick<StageIo, "message">;
}

/** Does the work in a place that is gone afterwards, with every process in it; a second time, on the disk, where a layer outgrows the memory. */
export async function inPlace<T>(options: PlaceOptions, work: (place: Place) => Promise<T>): Promise<T> {
  const workspace = await openWorkspace(options.directory, options.expectedBytes);
  try {
    return await confined(workspace, options, work);
  } catch (error) {
    if (!workspace.inMemory || !(error instanceof AptOstreeError) || !(await isTooLarge(workspace, error, options.expectedBytes))) throw error;
    options.io.message("info", "the layer does not fit into memory: assembling it on the disk");
    await workspace.close();
    return await confined(onDisk(options.directory), options, work);
  } finally {
    await workspace.close();
  }
}

/** The tmpfs is full, or what lies in it took the memory that was meant for scripts. */
async function isTooLarge(workspace: Workspace, error: AptOstreeError, expectedBytes: number): Promise<boolean> {
  if (error.code === "NoSpace") return true;
  if (!(Array.isArray(error.details.limits) && error.details.limits.includes("memory"))) return false;
  const { blocks, bfree, bsize } = await statfs(workspace.directory);
  return (blocks - bfree) * bsize > expectedBytes;
}

/** What lies in a tmpfs counts as the memory of whoever wrote it. */
async function confined<T>(workspace: Workspace, options: PlaceOptions, work: (place: Place) => Promise<T>): Promise<T> {
  const { scriptMemoryBytes, scriptProcesses: processes } = options.settings;
  const wantedBytes = scriptMemoryBytes + (workspace.inMemory ? options.expectedBytes : 0);
  const memoryBytes = Math.floor(Math.min(wantedBytes, (await availableMemory()) * MEMORY_SHARE));
  const confinement = await confine(options.runId, { memoryBytes, processes });
  try {
    const result = await work({ workspace, confinement });
    for (const limit of await confinement.exceeded()) options.io.message("warning", limitHint(limit, confinement.limits));
    return result;
  } finally {
    await confinement.close();
  }
}
