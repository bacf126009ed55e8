/** Running the tree's own apt and dpkg, and with them the maintainer scripts, on an overlay over the base. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AptOstreeError } from "../../model/errors.ts";
import { aptOptions, COMMON_CONFIG, INSIDE, INSTALL_CONFIG } from "../apt/config.ts";
import type { AptWords } from "../apt/words.ts";
import { ExecError } from "../exec.ts";
import { INSTALL_CAPABILITIES } from "../sandbox.ts";
import { installError } from "./failure.ts";
import { seedBoot } from "./kernel.ts";
import { type Assembly, makeWorkTree, runInTree, workTree } from "./mount.ts";
import { lendResolver, SCRIPT_PATH, STUBS_INSIDE, stubBinds, writeStubs } from "./stubs.ts";
import type { Workspace } from "./workspace.ts";

/** What an installation needs. */
export interface InstallOptions {
  readonly runningEtc: string;
  readonly lists: string;
  readonly archives: string;
  readonly aptCache: string;
  /** Where local packages are kept. */
  readonly locals: string;
  /** What apt is to do; its options are also those that decide what the packages bring, as they were when it was planned. */
  readonly words: AptWords;
  /** Architectures of what is unpacked: those that the base's dpkg does not know yet are added to it. */
  readonly architectures: readonly string[];
  /** Answers for debconf-set-selections(1), given before anything is unpacked; may be empty. */
  readonly answers: string;
  /** Whether scripts may use the host's network. */
  readonly network: boolean;
  /** Percent from 0 to 100 and what is being done, from apt's status lines. */
  readonly onProgress: (percent: number, text: string) => void;
  /** How many archives there are to unpack, and what to call when they all are. */
  readonly archiveCount: number;
  readonly onUnpacked: () => void;
}

/**
 * Installs packages. The work tree is made here. Throws ScriptFailed (naming the package where apt names it), Timeout, NoSpace
 * or Cancelled, in each case after every process of the sandbox is gone.
 */
export async function installPackages(assembly: Assembly, options: InstallOptions): Promise<void> {
  const { workspace, baseTree } = assembly;
  await makeWorkTree(workspace);
  const tree = workTree(workspace.directory);
  await writeStubs(tree);
  if (options.network) await lendResolver(tree);
  await seedBoot(tree, baseTree);
  // For the programs that apt starts: apt-extracttemplates would build caches of its own for half a second otherwise.
  await writeFile(join(workspace.directory, CONFIG_FILE), COMMON_CONFIG.map(([option, value]) => `${option} "${value}";\n`).join(""));
  await writeFile(join(workspace.directory, ANSWERS_FILE), options.answers, { mode: 0o600 });
  const path = `${STUBS_INSIDE}:${SCRIPT_PATH}`;
  const failures: string[] = [];
  try {
    await runInTree(assembly, {
      network: options.network,
      capabilities: INSTALL_CAPABILITIES,
      env: {
        PATH: path,
        DEBIAN_FRONTEND: "noninteractive",
        SYSTEMD_OFFLINE: "1",
        APT_CONFIG: INSIDE.config,
      },
      binds: bindArgs(workspace, options),
      command: [
        ...["sh", "-c", INSIDE_SCRIPT, options.architectures.join(" "), options.words.verb],
        // apt gives dpkg a PATH of its own.
        ...aptOptions([...INSTALL_CONFIG, ["DPkg::Path", path], ...options.words.config]),
        "--",
        ...options.words.words,
      ],
      onStatusLine: statusReader(options, failures),
    });
  } catch (error) {
    if (error instanceof ExecError) {
      const { limits, exceeded } = assembly.confinement;
      throw installError(error, { failures, limits, exceeded: await exceeded(), network: options.network });
    }
    if (error instanceof AptOstreeError && error.code === "Timeout") throw timeoutError(assembly.timeoutMs);
    throw error;
  }
}

const ANSWERS_FILE = "debconf-answers";
const INSIDE_ANSWERS = "/run/apt-ostree/debconf-answers";

/** Inside: `/var` as a first boot would make it (tmpfiles.d(5)), the architectures in $0, the answers for debconf, then apt. */
const PREPARE_DPKG = 'for a in $0; do [ "$a" = "$(dpkg --print-architecture)" ] || dpkg --add-architecture "$a" || exit; done';
const PREPARE_DEBCONF = `if [ -s ${INSIDE_ANSWERS} ]; then debconf-set-selections ${INSIDE_ANSWERS} || exit; fi`;
const INSIDE_SCRIPT = `systemd-tmpfiles --create --prefix=/var --prefix=/run >/dev/null 2>&1 || true; mkdir -p /run/media /var/lib/apt /var/cache/apt /var/log/apt; ${PREPARE_DPKG}; ${PREPARE_DEBCONF}; verb=$1; shift; exec apt-get "$verb" -q --no-download "$@"`;

const CONFIG_FILE = "apt.conf";

function bindArgs(workspace: Workspace, options: InstallOptions): string[] {
  const inside = workTree(workspace.insideDirectory);
  return [
    ...["--bind", inside.var, "/var", "--bind", inside.boot, "/boot"],
    ...stubBinds(inside),
    ...["--dir", "/run/apt-ostree/log", "--ro-bind", join(options.runningEtc, "apt"), INSIDE.sources],
    ...["--ro-bind", options.lists, INSIDE.lists, "--ro-bind", options.archives, INSIDE.archives, "--ro-bind", options.aptCache, INSIDE.cache],
    ...["--ro-bind", options.locals, INSIDE.locals],
    ...["--ro-bind", join(workspace.insideDirectory, CONFIG_FILE), INSIDE.config],
    ...["--ro-bind", join(workspace.insideDirectory, ANSWERS_FILE), INSIDE_ANSWERS],
    // What a resolv.conf that is a link leads to.
    ...(options.network ? ["--ro-bind-try", "/run/systemd/resolve", "/run/systemd/resolve"] : []),
    // Scripts that care can see that they are assembling an OSTree host.
    ...["--ro-bind", "/dev/null", "/run/ostree-booted"],
  ];
}

/**
 * apt's status lines (apt's README.progress-reporting): "pmstatus:PACKAGE:PERCENT:TEXT", "pmerror:PACKAGE:PERCENT:TEXT". The text
 * of a pmstatus is one of apt's own few, "Unpacking nginx (amd64)" among them.
 */
function statusReader(options: InstallOptions, failures: string[]): (line: string) => void {
  const unpacked = new Set<string>();
  return (line) => {
    const match = /^(pmstatus|pmerror):([^:]*(?::[a-z0-9-]+)?):([0-9.]+):(.*)$/.exec(line);
    if (match === null) return;
    const [, kind, name = "", percent = "0", text = ""] = match;
    if (kind === "pmerror") failures.push(`${name}: ${text}`);
    else options.onProgress(Number(percent), text);
    // The first configuration after the last package was unpacked: nothing is left to unpack then.
    if (text.startsWith("Unpacking ")) unpacked.add(name);
    else if (unpacked.size >= options.archiveCount && text.startsWith("Configuring ")) options.onUnpacked();
  };
}

function timeoutError(timeoutMs: number): AptOstreeError {
  return new AptOstreeError("Timeout", `cannot assemble the tree: apt and the maintainer scripts took longer than ${Math.round(timeoutMs / 1000)} s`);
}
