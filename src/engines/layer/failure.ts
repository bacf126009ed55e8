/** What a failed installation comes down to: dpkg's reasons, the limit that was run into, the network that was missing. */
import { AptOstreeError } from "../../model/errors.ts";
import type { GroupLimits, Limit } from "../cgroup.ts";
import { type ExecError, lastLines } from "../exec.ts";

/** What is known besides the output. */
export interface Circumstances {
  /** "PACKAGE: REASON" of apt's status lines. */
  readonly failures: readonly string[];
  readonly limits: GroupLimits;
  readonly exceeded: readonly Limit[];
  /** Whether scripts had the network. */
  readonly network: boolean;
}

/** The error for apt's bad end: NoSpace, or ScriptFailed with the packages, the last lines of the output and the limits in its details. */
export function installError(error: ExecError, { failures, limits, exceeded, network }: Circumstances): AptOstreeError {
  const output = `${error.stdout}\n${error.stderr}`;
  const said = output
    .split("\n")
    .filter(
      (line) =>
        /^(E:|dpkg: error|dpkg-deb: error| {1,}(old|new|installed) .* (script )?subprocess)/.test(line) ||
        /^Errors were encountered|post-installation script|pre-installation script/.test(line),
    )
    .map((line) => line.trim());
  const killed = error.killedBy === null ? "" : `the sandbox was ended by ${error.killedBy}`;
  const reason = [...new Set([...failures, ...said])].slice(0, 6).join("; ") || killed || lastLines(output, 3);
  if (/No space left on device/.test(output))
    return new AptOstreeError("NoSpace", `cannot assemble the tree: the disk is full: ${reason}`, { cause: error });
  const hints = [...exceeded.map((limit) => limitHint(limit, limits)), ...(network || !NO_NETWORK.test(output) ? [] : [NETWORK_HINT])];
  return new AptOstreeError("ScriptFailed", `cannot assemble the tree: ${[...hints, reason].join(": ")}`, {
    details: {
      packages: failures.map((failure) => failure.replace(/:.*$/, "")),
      output: lastLines(output, 40),
      ...(exceeded.length === 0 ? {} : { limits: exceeded }),
    },
    cause: error,
  });
}

/** What programs print that cannot resolve a name, or reach an address: glibc, curl, wget, perl. */
const NO_NETWORK =
  /Temporary failure in name resolution|Could not resolve host|unable to resolve host address|Name or service not known|Network is unreachable/i;
const NETWORK_HINT = "a script wanted the network, which it has with --script-network only";

/** Which limit it was, and how to raise it. */
export function limitHint(limit: Limit, limits: GroupLimits): string {
  return limit === "memory"
    ? `the scripts wanted more than ${Math.floor(limits.memoryBytes / (1024 * 1024))} MiB of memory (scriptMemoryMiB in daemon.yaml)`
    : `the scripts wanted more than ${limits.processes} processes at once (scriptProcesses in daemon.yaml)`;
}
