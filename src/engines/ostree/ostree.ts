/** Running ostree(1) and turning its failures into typed errors. */

import { withoutCredentials } from "../../model/credentials.ts";
import { AptOstreeError, type ErrorCode } from "../../model/errors.ts";
import { ExecError, type ExecOptions, exec, lastLines } from "../exec.ts";
import type { Paths } from "../paths.ts";
import { whilePulling } from "./pulls.ts";
import { whoLocks } from "./sysrootlock.ts";

/** `ostree ARGS --repo=REPO`; the standard output. `doing` completes "cannot …" of the error. */
export async function ostreeRepo(paths: Pick<Paths, "repo">, doing: string, args: readonly string[], options: ExecOptions = {}): Promise<string> {
  return run(doing, "Internal", [...args, `--repo=${paths.repo}`], options);
}

/** As `ostreeRepo`, for what verifies signatures or imports keys. */
export async function ostreeGpg(paths: Pick<Paths, "repo">, doing: string, args: readonly string[], options: ExecOptions = {}): Promise<string> {
  return run(doing, "Internal", [...args, `--repo=${paths.repo}`], options, APART);
}

/** As `ostreeGpg`, for what asks a remote. Throws DownloadFailed where nothing says otherwise: the other end is somebody else's. */
export async function ostreeFetch(paths: Pick<Paths, "repo">, doing: string, args: readonly string[], options: ExecOptions = {}): Promise<string> {
  return run(doing, "DownloadFailed", [...args, `--repo=${paths.repo}`], options, APART);
}

/** Pulls from a remote what the last of the arguments names; options may stand before it. */
export async function ostreePull(paths: Pick<Paths, "repo">, remote: string, args: readonly string[], options: ExecOptions = {}): Promise<void> {
  const argv = ["pull", ...args.slice(0, -1), remote, ...args.slice(-1)];
  await whilePulling(paths, remote, () => ostreeFetch(paths, `pull ${remote}:${args.at(-1)}`, argv, options));
}

/**
 * `ostree admin ARGS` on the sysroot. On the booted one no option is passed: ostree then remounts what it writes in a mount
 * namespace of its own.
 */
export async function ostreeAdmin(paths: Paths, doing: string, args: readonly string[], options: ExecOptions = {}): Promise<string> {
  return run(doing, "DeployFailed", ["admin", ...args, ...(paths.sysroot === "/" ? [] : [`--sysroot=${paths.sysroot}`])], options);
}

/** The longest that ostree may take to change the sysroot, its wait for other programs included. */
const CHANGE_TIMEOUT_MS = 600_000;

/** `ostree admin ARGS` that changes the sysroot, and first waits for whoever has it locked. Throws Timeout, naming that program. */
export async function changeSysroot(paths: Paths, doing: string, args: readonly string[], options: ExecOptions = {}): Promise<void> {
  const timeoutMs = options.timeoutMs ?? CHANGE_TIMEOUT_MS;
  try {
    await ostreeAdmin(paths, doing, args, { ...options, timeoutMs });
  } catch (error) {
    if (!(error instanceof AptOstreeError) || error.code !== "Timeout") throw error;
    const holder = await whoLocks(paths);
    const why = `it took longer than ${timeoutMs / 1000} s${holder === null ? "" : `, and ${holder}`}`;
    throw new AptOstreeError("Timeout", `cannot ${doing}: ${why}`, { cause: error });
  }
}

/** A process namespace of its own (unshare(1)): gpg starts agents that outlive whoever asked for them, and they end with it. */
const APART: readonly string[] = ["unshare", "--pid", "--fork", "--kill-child", "--"];
/** unshare(1) takes no notice of TERM, and of ostree nothing needs time to end: it goes on where it was. */
const KILL_APART_AFTER_MS = 100;

async function run(doing: string, code: ErrorCode, args: readonly string[], options: ExecOptions, within: readonly string[] = []): Promise<string> {
  const [command = "ostree", ...argv] = [...within, "ostree", ...args];
  const ending = within.length === 0 ? {} : { killAfterMs: KILL_APART_AFTER_MS };
  try {
    return (await exec(command, argv, { ...ending, ...options })).stdout;
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    throw ostreeError(doing, code, error);
  }
}

/** ostree says "error: …" on its last line; what it says decides the code. */
function ostreeError(doing: string, code: ErrorCode, error: ExecError): AptOstreeError {
  const said = withoutCredentials(lastLines(error.stderr, 2).replace(/^error: /, "") || error.message);
  const found = CODES.find(([pattern]) => pattern.test(said));
  return new AptOstreeError(found?.[1] ?? code, `cannot ${doing}: ${said}`, { cause: error });
}

const CODES: readonly (readonly [RegExp, ErrorCode])[] = [
  [/No space left on device|min-free-space|would be exceeded/i, "NoSpace"],
  [/signature|GPG|not trusted/i, "VerificationFailed"],
  [/Could not resolve|Couldn't connect|Connection refused|timed out|While fetching|Server returned|No such host/i, "DownloadFailed"],
  [/Refspec '.*' not found|No such branch|No such metadata key|No such metadata object|Invalid ref|Remote ".*" not found/i, "NotFound"],
];
