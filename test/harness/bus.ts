/** A private message bus for tests: a real dbus-daemon with its socket and configuration in a temporary directory. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** What a test bus can be like; with no options only root may connect, everything is allowed and the limits are high. */
export interface TestBusOptions {
  /** Everyone may connect. */
  readonly anyUser?: boolean;
  /** The defaults and limits of a system bus, with this policy file on top; implies `anyUser`. */
  readonly systemPolicy?: string;
  /** A program that the bus starts for a name; "ADDRESS" in its arguments stands for the bus. */
  readonly activatable?: { readonly name: string; readonly command: readonly string[] };
  /** Limits of dbus-daemon(1) that differ. */
  readonly limits?: Readonly<Record<string, number>>;
}

/** A running bus. */
export interface TestBus {
  readonly address: string;
  readonly pid: number;
  /** Ends the bus and removes its directory. */
  stop(): Promise<void>;
}

const ALLOW_ALL = `<allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>`;
/** As in dbus-daemon's own system.conf. */
const SYSTEM_DEFAULTS = `
    <allow user="*"/><deny own="*"/><deny send_type="method_call"/>
    <allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>`;
/** So that a test can count match rules. */
const STATS = `<policy user="root"><allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Debug.Stats"/></policy>`;
const HIGH_LIMITS = {
  max_completed_connections: 800,
  max_connections_per_user: 800,
  max_match_rules_per_connection: 50_000,
  max_replies_per_connection: 50_000,
};
const START_TIMEOUT_MS = 60_000;

/** Starts a bus. */
export async function startBus(options: TestBusOptions = {}): Promise<TestBus> {
  const directory = await mkdtemp(join(tmpdir(), "apt-ostree-bus-"));
  await chmod(directory, 0o755);
  const config = join(directory, "bus.conf");
  await writeFile(config, configuration(directory, options));
  const { activatable } = options;
  if (activatable !== undefined) {
    const exec = activatable.command.map((word) => (word === "ADDRESS" ? `unix:path=${join(directory, "socket")}` : word)).join(" ");
    await writeFile(join(directory, `${activatable.name}.service`), `[D-BUS Service]\nName=${activatable.name}\nExec=${exec}\n`);
  }
  // The bus goes with us, however we go.
  const child = spawn(
    "setpriv",
    ["--pdeathsig", "KILL", "--", "dbus-daemon", "--nofork", "--nopidfile", "--print-address", `--config-file=${config}`],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const address = await firstLine(child).catch(async (error: unknown) => {
    child.kill("SIGKILL");
    await rm(directory, { recursive: true, force: true });
    throw error;
  });
  return {
    address,
    pid: child.pid as number,
    async stop(): Promise<void> {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGKILL");
        await exited;
      }
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function configuration(directory: string, options: TestBusOptions): string {
  const isSystem = options.systemPolicy !== undefined;
  const limits = Object.entries({ ...(isSystem ? {} : HIGH_LIMITS), ...options.limits })
    .map(([name, limit]) => `<limit name="${name}">${limit}</limit>`)
    .join("");
  const connect = options.anyUser === true ? `<allow user="*"/>` : `<allow user="root"/>`;
  return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>${isSystem ? "system" : "custom"}</type>
  <listen>unix:path=${join(directory, "socket")}</listen>
  ${options.activatable === undefined ? "" : `<servicedir>${directory}</servicedir>`}
  <auth>EXTERNAL</auth>
  <policy context="default">${isSystem ? SYSTEM_DEFAULTS : connect + ALLOW_ALL}</policy>
  ${isSystem ? `${STATS}<include>${options.systemPolicy}</include>` : ""}
  ${limits}
</busconfig>
`;
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("dbus-daemon did not print its address in time")), START_TIMEOUT_MS);
    child.once("error", reject);
    let said = "";
    child.stderr?.on("data", (chunk) => {
      said = (said + chunk).slice(-2000);
    });
    child.once("exit", (status) => reject(new Error(`dbus-daemon ended with ${status}: ${said}`)));
    if (child.stdout === null) throw new Error("dbus-daemon has no output");
    createInterface({ input: child.stdout }).once("line", (line) => {
      clearTimeout(timer);
      resolve(line.trim());
    });
  });
}
