/** `apt-ostree status`. */
import { AptOstreeError } from "../../model/errors.ts";
import type { Context, Globals } from "../context.ts";
import { OK, UNCHANGED } from "../exit.ts";
import { withDaemon } from "../session.ts";
import { statusText } from "../status.ts";

/** The options of the command. */
export interface StatusCommandOptions {
  readonly json?: boolean;
  readonly verbose?: boolean;
  readonly booted?: boolean;
  readonly pendingExit77?: boolean;
}

/** Shows deployments and active transactions. Throws NotFound where `--booted` finds nothing. */
export async function status(context: Context, globals: Globals, options: StatusCommandOptions): Promise<number> {
  const whole = await withDaemon(context, globals, (daemon) => daemon.status());
  const { snapshot } = whole;
  const deployments = options.booted === true ? snapshot.deployments.filter(({ booted }) => booted) : snapshot.deployments;
  if (options.booted === true && deployments.length === 0)
    throw new AptOstreeError("NotFound", `cannot show the booted deployment: this host was not booted from ${snapshot.sysroot}`);
  const shown = { version: whole.version, snapshot: { ...snapshot, deployments }, transactions: whole.transactions };
  context.stdout.write(
    options.json === true ? `${JSON.stringify(shown, null, 2)}\n` : statusText(shown, context.stdout, { verbose: options.verbose === true }),
  );
  const pending = snapshot.deployments.some((deployment) => deployment.staged || deployment.pending);
  return options.pendingExit77 === true && pending ? UNCHANGED : OK;
}
