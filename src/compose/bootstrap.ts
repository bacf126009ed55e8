/**
 * The packages of a tree, unpacked and configured by mmdebstrap(1). It runs in namespaces of its own that end with it, so that
 * however it is ended no mount and no process of it is left.
 */
import { appendFile, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseAptError } from "../engines/apt/output.ts";
import { ExecError, exec } from "../engines/exec.ts";
import { withoutCredentials } from "../model/credentials.ts";
import { formatDebconfAnswers } from "../model/debconf.ts";
import type { LockedPackage } from "../model/lockfile.ts";
import type { InstalledPackage } from "../model/plan.ts";
import type { SourceStanza } from "../model/treefile.ts";
import type { Inputs, NamedLock } from "./inputs.ts";
import {
  describingArguments,
  HOOK_DIRECTORY,
  installedPackages,
  LOCK_PREFERENCES,
  lockingArguments,
  requireLocked,
  requireOffered,
} from "./locked.ts";
import { type AptSetting, proxyEnvironment, settingLine } from "./machine.ts";

/** What a bootstrap needs. */
export interface BootstrapOptions {
  readonly inputs: Inputs;
  readonly sources: readonly SourceStanza[];
  readonly settings: readonly AptSetting[];
  /** Install the packages of this lock file and no others; null for what the sources have. */
  readonly lock: NamedLock | null;
  /** Where the tree goes; must not exist. */
  readonly tree: string;
  /** An empty directory for temporary files. */
  readonly temp: string;
  /** Archives are kept here and taken from here; null to keep none. */
  readonly archives: string | null;
  /** Everything that is printed goes to this file. */
  readonly log: string;
  readonly epochS: number;
  readonly onText: (text: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Makes the tree. What was installed. Throws what apt's failure stands for (UnknownPackage, Unsatisfiable, DownloadFailed, ScriptFailed, …), and
 * UnknownPackage, VerificationFailed or Conflict where it is not what the lock file names.
 */
export async function bootstrap(options: BootstrapOptions): Promise<LockedPackage[]> {
  const { lock, temp } = options;
  await run(options, []);
  const installed = await installedPackages(temp);
  if (lock !== null) requireLocked(lock.content, lock.name, installed);
  return installed;
}

/** apt's word for a package that it would install: "Inst NAME (VERSION ORIGIN… [ARCHITECTURE])", a foreign one as "NAME:ARCHITECTURE". */
const INSTALLS = /^Inst ([^ :]+)\S* \((\S+) .*\[([a-z0-9-]+)\]\)/;

/** What would be installed, sorted, without installing it; lock files are passed over. Throws as `bootstrap` does. */
export async function simulate(options: BootstrapOptions): Promise<InstalledPackage[]> {
  const found = new Map<string, InstalledPackage>();
  for (const line of await run(options, ["--simulate"])) {
    const [, name = "", version = "", architecture = ""] = INSTALLS.exec(line) ?? [];
    if (name !== "") found.set(`${name} ${architecture}`, { name, version, architecture });
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
}

/** Runs mmdebstrap; the lines that it printed. */
async function run(options: BootstrapOptions, more: readonly string[]): Promise<string[]> {
  const { inputs, archives, lock, temp } = options;
  if (archives !== null) await mkdir(archives, { recursive: true });
  const lines: string[] = [];
  const counter = progressCounter(options.onText);
  try {
    await exec("unshare", [...NAMESPACES, "mmdebstrap", ...more, ...(await argumentsOf(options))], {
      env: {
        ...proxyEnvironment(),
        TMPDIR: options.temp,
        [HOOK_DIRECTORY]: options.temp,
        SOURCE_DATE_EPOCH: String(options.epochS),
        DEBIAN_FRONTEND: "noninteractive",
        SYSTEMD_OFFLINE: "1",
        // Honoured by the kernel packages' hooks: our own initramfs is made later, for any machine, and this one would be for none.
        INITRD: "No",
        ...(archives === null ? {} : { APT_OSTREE_ARCHIVES: archives }),
      },
      onLine: (line) => {
        lines.push(line);
        counter(line);
      },
      killAfterMs: 2000,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    if (lock !== null) await requireOffered(lock.content, lock.name, temp);
    throw parseAptError(lines.join("\n"), `compose ${inputs.ref}`);
  } finally {
    await appendFile(options.log, withoutCredentials(`${lines.join("\n")}\n`));
  }
  return lines;
}

const NAMESPACES = ["--mount", "--propagation", "private", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc", "--"];

async function argumentsOf(options: BootstrapOptions): Promise<string[]> {
  const { inputs, sources, lock, temp } = options;
  const hasFileSource = sources.some((source) => source.uri.startsWith("file:"));
  return [
    "--verbose",
    "--mode=root",
    "--variant=minbase",
    "--format=directory",
    `--architectures=${inputs.architectures.join(",")}`,
    ...(inputs.packages.length === 0 ? [] : [`--include=${inputs.packages.join(",")}`]),
    ...options.settings.map((setting) => `--aptopt=${settingLine(setting).replace(/;$/, "")}`),
    ...(inputs.treefile.recommends ? ['--aptopt=APT::Install-Recommends "true"'] : []),
    // The tree is worth nothing until it is committed, and the commit is synced.
    "--dpkgopt=force-unsafe-io",
    ...(options.archives === null ? [] : await cacheArguments(options.archives)),
    ...(lock === null ? [] : await lockingArguments(lock.content, temp)),
    ...(inputs.treefile.debconf.length === 0 ? [] : await answeringArguments(options)),
    ...describingArguments(),
    ...(hasFileSource ? ["--hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount"] : []),
    inputs.treefile.suite,
    options.tree,
    ...sources.flatMap(({ uri, suites, components, signedBy }) =>
      suites.map((suite) => `deb ${signedBy === "" ? "" : `[signed-by=${signedBy}] `}${uri} ${suite} ${components.join(" ")}`),
    ),
  ];
}

/** Archives are copied in before and out after: apt checks each against its hash before it uses it. */
async function cacheArguments(archives: string): Promise<string[]> {
  const cached = (await readdir(archives)).some((name) => name.endsWith(".deb"));
  const inTree = '"$1/var/cache/apt/archives"';
  return [
    "--skip=download/empty,essential/unlink",
    ...(cached ? [`--setup-hook=mkdir -p ${inTree} && cp --reflink=auto "$APT_OSTREE_ARCHIVES"/*.deb ${inTree}`] : []),
    `--customize-hook=cp --reflink=auto --update ${inTree}/*.deb "$APT_OSTREE_ARCHIVES"`,
  ];
}

/** debconf is there, and nothing that asks: the essential packages are installed and no others. */
async function answeringArguments({ inputs, temp }: BootstrapOptions): Promise<string[]> {
  await writeFile(join(temp, ANSWERS), formatDebconfAnswers(inputs.treefile.debconf), { mode: 0o600 });
  return [`--essential-hook=chroot "$1" debconf-set-selections <"$${HOOK_DIRECTORY}/${ANSWERS}"`];
}

const ANSWERS = "debconf-answers";

/** Says what apt and dpkg are at, from the lines that they print. */
function progressCounter(onText: (text: string) => void): (line: string) => void {
  let unpacked = 0;
  let configured = 0;
  return (line) => {
    if (line.startsWith("Unpacking ")) unpacked += 1;
    else if (line.startsWith("Setting up ")) configured += 1;
    else if (line.startsWith("I: downloading packages")) return onText("downloading packages");
    else return;
    if (line.startsWith("Setting up ") || unpacked % 10 === 0) onText(`${unpacked} packages unpacked, ${configured} set up`);
  };
}

/** What mmdebstrap leaves in a tree that is not the packages', relative to it. */
export const BOOTSTRAP_RESIDUE: readonly string[] = [
  "etc/apt/apt.conf.d/99mmdebstrap",
  "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
  "etc/apt/sources.list",
  LOCK_PREFERENCES,
  "etc/hostname",
  "etc/resolv.conf",
];
