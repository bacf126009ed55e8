/** Committing a layer. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { InstalledPackage } from "../../model/plan.ts";
import { exec } from "../exec.ts";
import { formatLayered, METADATA } from "../ostree/commits.ts";
import { ostreeRepo } from "../ostree/ostree.ts";
import { layerRef } from "../ostree/refs.ts";
import type { Paths } from "../paths.ts";
import { removeTree } from "../tree.ts";
import { applyUpper } from "./apply.ts";
import type { EarlyFiles } from "./early.ts";
import type { UpperScan } from "./upper.ts";

/** What a layered commit records. */
export interface LayerCommit {
  readonly baseCommit: string;
  readonly layerKey: string;
  readonly version: string;
  /** Seconds since 1970: the base's, so that the same layer is the same commit. */
  readonly timestampS: number;
  readonly layered: readonly InstalledPackage[];
  readonly subject: string;
  /** What is in the repository already. */
  readonly early: EarlyFiles | null;
  /** A directory on the file system of the repository. */
  readonly scratch: string;
}

/** Commits an unmounted upper directory, rid of overlayfs's attributes, over its base, under the layer's ref; the commit. The upper directory is used up. */
export async function commitLayer(paths: Paths, upper: string, scan: UpperScan, layer: LayerCommit, signal: AbortSignal): Promise<string> {
  const metadata = [
    ...["--subject", layer.subject, "--branch", layerRef(layer.layerKey), "--parent", layer.baseCommit],
    ...["--timestamp", new Date(layer.timestampS * 1000).toISOString()],
    `--add-metadata-string=version=${layer.version}`,
    `--add-metadata-string=${METADATA.baseCommit}=${layer.baseCommit}`,
    `--add-metadata-string=${METADATA.layerKey}=${layer.layerKey}`,
    `--add-metadata-string=${METADATA.layered}=${formatLayered(layer.layered)}`,
    "--add-metadata=ostree.bootable=true",
    "--no-bindings",
  ];
  const removes = scan.whiteouts.length + scan.opaque.length + scan.retyped.length > 0;
  if (!removes) {
    if (layer.early !== null) await removeFiles(upper, layer.early.paths);
    const trees = [...(layer.early === null ? [] : [`--tree=ref=${layer.early.commit}`]), `--tree=dir=${upper}`];
    return (await ostreeRepo(paths, "commit the layer", ["commit", ...metadata, `--base=${layer.baseCommit}`, ...trees], { signal })).trim();
  }
  const merged = join(layer.scratch, "final");
  await ostreeRepo(paths, "check out the base", ["checkout", "-H", layer.baseCommit, merged], { signal });
  await applyUpper(upper, merged, scan);
  const commit = (await ostreeRepo(paths, "commit the layer", ["commit", ...metadata, "-I", `--tree=dir=${merged}`], { signal })).trim();
  await removeTree(merged);
  return commit;
}

/** Removes files below a directory; directories stay, for what they say of modes and owners. */
async function removeFiles(directory: string, files: readonly string[]): Promise<void> {
  const list = join(directory, "../remove");
  await writeFile(list, files.map((file) => `${join(directory, file)}\0`).join(""));
  await exec("xargs", ["-0", "-r", "-a", list, "rm", "-f", "--"]);
}
