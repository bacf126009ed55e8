/** The daemon's face on the bus: every object, bound to the scheduler. */
import type { Log } from "../log.ts";
import type { SysrootSnapshot } from "../model/sysroot.ts";
import type { SchedulerApi, SchedulerEvents } from "../scheduler/api.ts";
import { isActivatable, startOwner } from "./activation.ts";
import { type Authority, ownerAuthority } from "./authority.ts";
import type { Bus } from "./bus.ts";
import { Callers } from "./caller.ts";
import { databaseBinding } from "./database.ts";
import { UNLIMITED } from "./interfaces.ts";
import { ReadingLimits } from "./limits.ts";
import { rootBindings } from "./manager.ts";
import type { InspectionPort, RemotesPort } from "./ports.ts";
import { remotesBinding } from "./remotes.ts";
import { ObjectServer } from "./server.ts";
import { StatusText } from "./status.ts";
import { SysrootObjects } from "./sysroot.ts";
import { KEPT_ENDED, Transactions } from "./transaction.ts";
import { StatusWaits } from "./waiting.ts";
import { BUS_NAME, ROOT_PATH } from "./wire.ts";

/** What the service is made of. */
export interface ServiceParts {
  readonly bus: Bus;
  readonly scheduler: SchedulerApi;
  readonly log: Log;
  readonly version: string;
  readonly inspection: InspectionPort;
  readonly remotes: RemotesPort;
  /** What `Manager.Metrics` answers. */
  readonly metrics: { render(): string };
  /** Who may do what; root and the daemon's own user if absent. */
  readonly authority?: Authority;
  /** How often one client may read; a few hundred times a second if absent. */
  readonly limits?: ReadingLimits;
}

/** A service that has its name. */
export interface Service {
  /** Since when no call is open and no transaction active, by `performance.now()`; null while there is either. */
  idleSinceMs(): number | null;
  /**
   * Gives the name up where the bus can start a daemon again, and answers what had arrived by then; false where it cannot. There is no way
   * back, as systemd ends a service that has given its name up: for a transaction that was begun meanwhile the next daemon is started.
   */
  leave(): Promise<boolean>;
  /** Gives the name up, answers what is open and ends. */
  close(): Promise<void>;
}

/** Serves everything, then takes the bus name. Throws AlreadyRunning, NotAuthorized. */
export async function startService(parts: ServiceParts): Promise<Service> {
  const { bus, scheduler, log, version, metrics } = parts;
  const authority = parts.authority ?? ownerAuthority(process.getuid?.() ?? 0);
  const callers = await Callers.start(bus);
  const status = new StatusText(scheduler, version);
  const waits = new StatusWaits(scheduler);
  const limits = parts.limits ?? new ReadingLimits();
  callers.onLeft((sender) => {
    waits.drop(sender);
    limits.drop(sender);
  });
  const services = { scheduler, callers, authority, version, metrics, status, waits, limits };
  const server = new ObjectServer(bus, log, ROOT_PATH, ({ sender, member }) => (UNLIMITED.has(member) ? null : limits.turn(sender)));
  const transactions = new Transactions(server, services, () => sysroot.refresh());
  const bindings = [
    ...rootBindings(services, transactions),
    databaseBinding({ scheduler, callers, inspection: parts.inspection }),
    remotesBinding(services, parts.remotes),
  ];
  server.add(ROOT_PATH, bindings);
  const sysroot = new SysrootObjects(server, scheduler.status().snapshot, () => transactions.active());

  let lastEndMs = 0;
  const stopListening = listen(scheduler, log, {
    ...transactions.listeners,
    finished: (view) => {
      lastEndMs = performance.now();
      transactions.listeners.finished(view);
    },
    snapshot: (snapshot: SysrootSnapshot) => sysroot.show(snapshot),
  });
  const close = async (): Promise<void> => {
    stopListening();
    waits.close();
    limits.close();
    await server.close();
    status.close();
    await callers.close();
  };
  try {
    for (const view of scheduler.status().transactions) transactions.adopt(view);
    // Oldest first, as they ended; the active ones among them are known already.
    for (const view of [...(await scheduler.transactions(KEPT_ENDED))].reverse()) transactions.adopt(view);
    sysroot.refresh();
    // Only a complete service takes the name: whoever sees it finds every object.
    await bus.requestName(BUS_NAME);
  } catch (error) {
    await close();
    throw error;
  }
  const isActive = (): boolean => scheduler.status().transactions.length > 0;
  return {
    idleSinceMs(): number | null {
      const sinceMs = server.idleSinceMs();
      return sinceMs === null || isActive() ? null : Math.max(sinceMs, lastEndMs);
    },
    async leave(): Promise<boolean> {
      if (!(await isActivatable(bus, BUS_NAME))) return false;
      // The bus answers after everything that it had for the name: no call falls between us and the next daemon.
      await bus.releaseName(BUS_NAME);
      waits.close();
      await server.settled();
      // It waits for our locks; the answer would come when we are gone.
      if (isActive()) void startOwner(bus, BUS_NAME).catch((err: unknown) => log.debug({ err }, "left before the next daemon was there"));
      return true;
    },
    async close(): Promise<void> {
      await bus.releaseName(BUS_NAME).catch((err: unknown) => log.debug({ err }, "the bus went before its name was given up"));
      await close();
    },
  };
}

/** Listens to the scheduler. A listener that throws is a bug of ours that must not reach it. */
function listen(scheduler: SchedulerApi, log: Log, listeners: { [E in keyof SchedulerEvents]: (...args: SchedulerEvents[E]) => void }): () => void {
  const stops = (Object.keys(listeners) as (keyof SchedulerEvents)[]).map((event) => {
    const listener = listeners[event] as (...args: unknown[]) => void;
    const safe = (...args: unknown[]): void => {
      try {
        listener(...args);
      } catch (err) {
        log.error({ err, event }, "cannot tell the bus");
      }
    };
    scheduler.on(event, safe);
    return () => scheduler.off(event, safe);
  });
  return () => {
    for (const stop of stops) stop();
  };
}
