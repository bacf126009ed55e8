/** `apt-ostree status`. */
import type { DaemonStatus } from "../../dbus/client.ts";
import { AptOstreeError } from "../../model/errors.ts";
import type { Context, Daemon, Globals } from "../context.ts";
import { OK, UNCHANGED } from "../exit.ts";
import { Interruption } from "../interruption.ts";
import { withDaemon } from "../session.ts";
import { statusText } from "../status.ts";

/** The options of the command. */
export interface StatusCommandOptions {
  readonly json?: boolean;
  readonly verbose?: boolean;
  readonly booted?: boolean;
  readonly pendingExit77?: boolean;
  readonly wait?: boolean;
  readonly sinceEpoch?: number;
}

/** Shows deployments and active transactions, with `--wait` once they have changed. Throws NotFound where `--booted` finds nothing. */
export async function status(context: Context, globals: Globals, options: StatusCommandOptions): Promise<number> {
  const whole = await withDaemon(context, globals, (daemon) => (options.wait === true ? changed(context, daemon, options) : daemon.status()));
  if (typeof whole === "number") return whole;
  const { snapshot } = whole;
  const deployments = options.booted === true ? snapshot.deployments.filter(({ booted }) => booted) : snapshot.deployments;
  if (options.booted === true && deployments.length === 0)
    throw new AptOstreeError("NotFound", `cannot show the booted deployment: this host was not booted from ${snapshot.sysroot}`);
  const shown = { ...whole, snapshot: { ...snapshot, deployments } };
  context.stdout.write(
    options.json === true ? `${JSON.stringify(shown, null, 2)}\n` : statusText(shown, context.stdout, { verbose: options.verbose === true }),
  );
  const pending = snapshot.deployments.some((deployment) => deployment.staged || deployment.pending);
  return options.pendingExit77 === true && pending ? UNCHANGED : OK;
}

/** The status once its epoch is above the given one, or the one that is current; the exit status where a signal ends the waiting. */
async function changed(context: Context, daemon: Daemon, options: StatusCommandOptions): Promise<DaemonStatus | number> {
  const interruption = new Interruption(context, { mayCancel: false });
  try {
    const waited = async (): Promise<DaemonStatus> => daemon.statusAfter(options.sinceEpoch ?? (await daemon.status()).snapshot.epoch);
    return await Promise.race([waited(), interruption.leave]);
  } finally {
    interruption.close();
  }
}
