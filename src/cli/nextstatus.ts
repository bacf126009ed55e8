/** Waiting for the next state of the system, for as long as a person likes. */
import type { DaemonStatus } from "../dbus/client.ts";
import { AptOstreeError } from "../model/errors.ts";
import type { Context, Daemon } from "./context.ts";
import { Interruption } from "./interruption.ts";

/** Below the 25 s after which a bus gives a call up. */
const PART_MS = 20_000;
const RETRY_MS = 500;
/** How long a daemon may be away before that is an error. */
const PATIENCE_MS = 60_000;

/**
 * The status once its epoch is above a number, by default the present one, or the exit status when a signal ends the waiting. Goes
 * on when the daemon is restarted. Throws Unavailable when it does not come back.
 */
export async function nextStatus(context: Context, daemon: Daemon, sinceEpoch?: number): Promise<DaemonStatus | { readonly left: number }> {
  const interruption = new Interruption(context, { mayCancel: false });
  const left = interruption.leave.then((status) => ({ left: status }));
  try {
    const first = sinceEpoch === undefined ? await Promise.race([daemon.status(), left]) : null;
    if (first !== null && "left" in first) return first;
    const epoch = first?.snapshot.epoch ?? sinceEpoch ?? 0;
    let heardMs = context.clock.nowMs();
    for (;;) {
      try {
        const answer = await Promise.race([daemon.waitStatus(epoch, PART_MS), left]);
        if ("left" in answer || answer.snapshot.epoch > epoch) return answer;
        heardMs = context.clock.nowMs();
      } catch (error) {
        const isAway = error instanceof AptOstreeError && error.code === "Unavailable";
        if (!isAway || context.clock.nowMs() - heardMs > PATIENCE_MS + PART_MS) throw error;
        const pause = new Promise<null>((resolve) => context.clock.after(RETRY_MS, () => resolve(null)));
        const interrupted = await Promise.race([pause, left]);
        if (interrupted !== null) return interrupted;
      }
    }
  } finally {
    interruption.close();
  }
}
