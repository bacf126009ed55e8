/** What a treefile changes in the tree that the packages made, while it is still a plain Debian: sources, files, units, script. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ExecError, lastLines } from "../engines/exec.ts";
import { withoutCredentials } from "../model/credentials.ts";
import { AptOstreeError } from "../model/errors.ts";
import type { SourceStanza } from "../model/treefile.ts";
import { BOOTSTRAP_RESIDUE } from "./bootstrap.ts";
import { type ChrootOptions, inTree } from "./chroot.ts";
import { exists, removeFromTree, writeTreeFile } from "./files.ts";
import type { Inputs } from "./inputs.ts";
import { type AptSetting, settingLine } from "./machine.ts";

/** Where the tree's own apt finds its sources. */
export const SOURCES_FILE = "etc/apt/sources.list.d/debian.sources";
const SETTINGS_FILE = "etc/apt/apt.conf.d/90apt-ostree-sources";
const KEYRINGS = ["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"];

/** Gives the tree the sources that it was made from, in place of mmdebstrap's. User names and passwords stay out of it. */
export async function writeSources(tree: string, sources: readonly SourceStanza[], settings: readonly AptSetting[]): Promise<void> {
  await removeFromTree(tree, BOOTSTRAP_RESIDUE);
  const keyring = await firstExisting(tree, KEYRINGS);
  const stanzas = sources.map(({ uri, suites, components, signedBy }) =>
    [
      "Types: deb",
      `URIs: ${withoutCredentials(uri)}`,
      `Suites: ${suites.join(" ")}`,
      `Components: ${components.join(" ")}`,
      ...(signedBy || keyring ? [`Signed-By: ${signedBy || keyring}`] : []),
    ].join("\n"),
  );
  await writeTreeFile(tree, SOURCES_FILE, `${stanzas.join("\n\n")}\n`);
  const kept = settings.filter(belongsWithSources);
  if (kept.length > 0)
    await writeTreeFile(tree, SETTINGS_FILE, `// How to reach the sources in debian.sources.\n${kept.map(settingLine).join("\n")}\n`);
}

/** Without these the sources could not be used; settings that name files of this machine, or hold a password, are not for a tree. */
function belongsWithSources({ name, value }: AptSetting): boolean {
  const wanted = /^Acquire::(Check-Valid-Until|Check-Date|Max-ValidTime|Min-ValidTime|Retries|ForceIPv4|ForceIPv6|https?::(Proxy|Timeout))(::|$)/i;
  return wanted.test(name) && withoutCredentials(value) === value && !value.startsWith("/");
}

async function firstExisting(tree: string, paths: readonly string[]): Promise<string> {
  for (const path of paths) if (await exists(tree, path.slice(1))) return path;
  return "";
}

/** Adds the treefile's files, enables and masks its units, runs its script. `workDir` takes the files on their way. */
export async function customize(tree: string, inputs: Inputs, workDir: string, options: ChrootOptions): Promise<void> {
  await addFiles(tree, inputs, workDir, options);
  await switchUnits(tree, "enable", inputs.treefile.units.enable, options);
  await switchUnits(tree, "mask", inputs.treefile.units.mask, options);
  if (inputs.script !== null) await runScript(tree, inputs.script, workDir, options);
}

/** In the tree, so that the tree's links mean what they mean there. */
async function addFiles(tree: string, inputs: Inputs, workDir: string, options: ChrootOptions): Promise<void> {
  const directory = join(workDir, "files");
  await mkdir(directory);
  for (const [index, file] of inputs.files.entries()) {
    await writeFile(join(directory, String(index)), file.content);
    const command = [
      "install",
      "-D",
      "-m",
      file.mode.toString(8).padStart(4, "0"),
      "-o",
      "0",
      "-g",
      "0",
      "-T",
      "--",
      `/run/apt-ostree/${index}`,
      file.path,
    ];
    const binds = ["--ro-bind", directory, "/run/apt-ostree"];
    await orThrow(`add ${file.path} to the tree`, "ConfigInvalid", () => inTree(tree, command, { ...options, binds }));
  }
}

async function switchUnits(tree: string, verb: "enable" | "mask", units: readonly string[], options: ChrootOptions): Promise<void> {
  if (units.length === 0) return;
  await orThrow(`${verb} ${units.join(", ")}`, "ConfigInvalid", () => inTree(tree, ["systemctl", "--quiet", verb, "--", ...units], options));
}

async function runScript(tree: string, script: Buffer, workDir: string, options: ChrootOptions): Promise<void> {
  const file = join(workDir, "postprocess");
  await writeFile(file, script, { mode: 0o700 });
  const command = script.subarray(0, 2).toString() === "#!" ? ["/run/postprocess"] : ["sh", "-eu", "/run/postprocess"];
  await orThrow("run the treefile's postprocess-script", "ScriptFailed", () =>
    inTree(tree, command, { ...options, binds: ["--ro-bind", file, "/run/postprocess"] }),
  );
}

async function orThrow(doing: string, code: "ConfigInvalid" | "ScriptFailed", work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    throw new AptOstreeError(code, `cannot ${doing}: ${lastLines(`${error.stdout}\n${error.stderr}`, 3) || error.message}`, { cause: error });
  }
}
