/**
 * libostree's own lock on a sysroot (`_ostree_sysroot_lock`): an open-file-description lock on `ostree/lock`, a file that its holder
 * removes when it is done. We look at it and never take it: our own `ostree admin` children would wait for us. They hold it while
 * they write, which is how other programs see us and wait; a second daemon is kept away by `extensions/apt-ostree/lock`.
 *
 * dpkg's lock of the running system does not concern us. Nothing of ours reads or writes the running system's dpkg database: planning
 * and assembling go by the one in the base's tree. Whatever dpkg changes in an unlocked /usr is no part of any commit, so waiting for
 * it would hold up a deployment and protect nothing.
 */
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AptOstreeError } from "../../model/errors.ts";
import { exec } from "../exec.ts";
import type { Paths } from "../paths.ts";

/** How somebody waits for the sysroot. */
export interface SysrootWait {
  /** Ends the wait with Cancelled. */
  readonly signal: AbortSignal;
  /** Told for whom it waits, for people, whenever that changes, and null when a wait is over. Not called where nobody has the lock. */
  waiting(reason: string | null): void;
}

const POLL_INTERVAL_MS = 200;

/** Resolves once no other program has the sysroot locked; our own children do not count. Throws Cancelled. */
export async function awaitSysroot(paths: Pick<Paths, "repo">, { signal, waiting }: SysrootWait): Promise<void> {
  let told: string | null = null;
  try {
    for (;;) {
      const reason = await whoLocks(paths, signal);
      if (reason !== told) waiting(reason);
      told = reason;
      if (reason === null) return;
      await sleep(POLL_INTERVAL_MS, undefined, { signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new AptOstreeError("Cancelled", told === null ? "cancelled before the sysroot was free" : `cancelled while ${told}`);
  }
}

/** A holder that goes away between the two questions, whether it is there and who it is, is asked for again before it counts as unseen. */
const LOOKS = 2;

/** "the sysroot is locked by ostree (pid 123)", or null where no other program has the lock. */
export async function whoLocks(paths: Pick<Paths, "repo">, signal?: AbortSignal): Promise<string | null> {
  const file = join(paths.repo, "../lock");
  for (let look = 0; look < LOOKS; look++) {
    if (!(await isLocked(file, signal))) return null;
    const holder = await findHolder(file);
    if (holder !== null) return holder.isOurs ? null : `the sysroot is locked by ${holder.command} (pid ${holder.pid})`;
  }
  return "the sysroot is locked by another program";
}

const LOCKED = 3;
/** Asks with F_OFD_GETLK (36), which takes nothing; the kernel answers F_UNLCK (2) where the lock could be had. ENOENT is 2. */
const LOOK_SCRIPT = `
  if (!open(my $file, "<", $ARGV[0])) { exit 0 if $! == 2; die "$!\\n"; }
  else {
    my $flock = pack("s s x4 q q l x4", 1, 0, 0, 0, 0);
    fcntl($file, 36, $flock) or die "$!\\n";
    exit(unpack("s", $flock) == 2 ? 0 : ${LOCKED});
  }`;

/** A file that is not there is the usual case and takes no child; one that is there may be left of a holder that was killed. */
async function isLocked(file: string, signal?: AbortSignal): Promise<boolean> {
  if (!(await isThere(file))) return false;
  const options = { okStatuses: [0, LOCKED], timeoutMs: LOOK_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) };
  return (await exec("perl", ["-e", LOOK_SCRIPT, file], options)).status === LOCKED;
}

const LOOK_TIMEOUT_MS = 10_000;

function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}

interface Holder {
  readonly pid: number;
  /** The name of its program, as the kernel has it. */
  readonly command: string;
  /** Whether it is a descendant of this process. */
  readonly isOurs: boolean;
}

/**
 * The process whose descriptor has the lock: its fdinfo has a line "lock:" (proc_pid_fdinfo(5)), which those who wait for it have not.
 * Null where it cannot be seen from here.
 */
async function findHolder(file: string): Promise<Holder | null> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  for (const pid of pids) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      if (!(await hasLock(pid, fd, file))) continue;
      const command = (await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")).trim();
      return { pid, command: command === "" ? "a program" : command, isOurs: await isOurs(pid) };
    }
  }
  return null;
}

/** The path is looked at before the file, as asking a network that is gone about some other file could take for ever. */
async function hasLock(pid: number, fd: string, file: string): Promise<boolean> {
  const link = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
  if (!/\/ostree\/lock$/.test(link)) return false;
  const [there, wanted] = await Promise.all([stat(`/proc/${pid}/fd/${fd}`).catch(() => null), stat(file).catch(() => null)]);
  if (there === null || wanted === null || there.ino !== wanted.ino || there.dev !== wanted.dev) return false;
  return /^lock:/m.test(await readFile(`/proc/${pid}/fdinfo/${fd}`, "utf8").catch(() => ""));
}

async function isOurs(pid: number): Promise<boolean> {
  for (let one = pid; one > 1; ) {
    if (one === process.pid) return true;
    // The name in parentheses may hold blanks and parentheses; state and parent follow it (proc_pid_stat(5)).
    const text = await readFile(`/proc/${one}/stat`, "utf8").catch(() => "");
    one = Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[1] ?? 0);
  }
  return false;
}
