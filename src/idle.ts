/** When the daemon has nothing to do for so long that it had better end: the bus starts it again for the next call. */

/** No timer is shorter while nothing happens, unless the daemon is to end even sooner: each costs a wake-up of the processor. */
const MIN_TIMER_MS = 30_000;

/** What is watched, and what follows. */
export interface IdleOptions {
  /** How long nothing must have happened. */
  readonly idleMs: number;
  /** Since when there is nothing to do, by `performance.now()`; null while there is something. */
  readonly idleSinceMs: () => number | null;
  /** Tries to leave. False where that would be wrong after all: then it is asked again when the time has passed once more. */
  readonly leave: () => Promise<boolean>;
  /** Called once, when `leave` has said yes. */
  readonly onLeft: () => void;
  /** Called with what `leave` throws. */
  readonly onError: (error: unknown) => void;
}

/** Watches until it has left or the returned function is called. */
export function watchIdle(options: IdleOptions): () => void {
  const { idleMs, idleSinceMs, leave, onLeft, onError } = options;
  let stopped = false;
  let timer: NodeJS.Timeout;
  const arm = (delayMs: number): void => {
    if (!stopped) timer = setTimeout(() => void look().catch(onError), Math.max(delayMs, Math.min(idleMs, MIN_TIMER_MS)));
  };
  const look = async (): Promise<void> => {
    const sinceMs = idleSinceMs();
    const leftMs = sinceMs === null ? idleMs : sinceMs + idleMs - performance.now();
    if (leftMs > 0) arm(leftMs);
    else if (await leave()) onLeft();
    else arm(idleMs);
  };
  arm(idleMs);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
