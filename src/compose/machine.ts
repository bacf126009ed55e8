/** What this machine's own apt is configured to use: where it gets Debian from, and how it reaches it. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../engines/exec.ts";

/** One place that this machine's apt gets a release from. */
export interface MachineSource {
  /** With the slash at the end as apt prints it, or without. */
  readonly uri: string;
  /** The release as configured: a suite or codename. */
  readonly release: string;
}

/** One apt setting. */
export interface AptSetting {
  readonly name: string;
  readonly value: string;
}

/** Where this machine gets component main from (apt-get(8), indextargets), in the order of its configuration. */
export async function machineSources(): Promise<MachineSource[]> {
  const format = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)";
  const { stdout } = await exec("apt-get", ["indextargets", "--format", format, "Identifier: Packages"]);
  const sources: MachineSource[] = [];
  for (const line of new Set(stdout.split("\n"))) {
    const [uri = "", release = "", component = "", ...origin] = line.split(" ");
    // Before its first update, apt does not know a source's origin.
    const isDebian = origin.join(" ") === "Debian" || origin.join("") === "" || origin.join("") === "$(ORIGIN)";
    if (component === "main" && isDebian && /^(https?|file|copy):/.test(uri)) sources.push({ uri, release });
  }
  return sources;
}

/** Settings that describe this machine's indices and not its network; compressed indices also make apt many times slower. */
const NOT_CARRIED = /^Acquire::(GzipIndexes|Languages|IndexTargets|CompressionTypes|Changelogs|cdrom)(::|$)/i;

/** apt's settings of how to fetch (proxies, time checks, certificates, …) that differ from its defaults. `workDir` is written to. */
export async function machineSettings(workDir: string): Promise<AptSetting[]> {
  const noFiles = join(workDir, "defaults.conf");
  await writeFile(noFiles, 'Dir::Etc::main "/dev/null";\nDir::Etc::parts "/dev/null";\n');
  const [defaults, own] = await Promise.all([dump({ APT_CONFIG: noFiles }), dump({})]);
  const known = new Set(defaults.map(({ name, value }) => `${name} ${value}`));
  return own.filter(({ name, value }) => value !== "" && !NOT_CARRIED.test(name) && !known.has(`${name} ${value}`));
}

async function dump(env: Readonly<Record<string, string>>): Promise<AptSetting[]> {
  const { stdout } = await exec("apt-config", ["dump", "--format", "%f %v%n"], { env });
  return stdout
    .split("\n")
    .map((line) => ({ name: line.replace(/ .*/, ""), value: line.replace(/^\S* ?/, "") }))
    .filter(({ name }) => /^Acquire::/i.test(name));
}

/** A setting as a line of apt.conf(5). */
export function settingLine({ name, value }: AptSetting): string {
  return `${name} "${value.replace(/["\\]/g, "\\$&")}";`;
}

const PROXY_VARIABLES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"].flatMap((name) => [name, name.toUpperCase()]);

/** The proxies of our own environment, which apt's methods honour. */
export function proxyEnvironment(): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of PROXY_VARIABLES) {
    const value = process.env[name];
    if (value !== undefined) found[name] = value;
  }
  return found;
}
