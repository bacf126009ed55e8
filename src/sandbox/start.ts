/**
 * `npm start`: the sandbox as a command.
 *
 *   npm start                 the main job, step by step (demo.ts)
 *   npm start -- CMD...       any apt-ostree command against the sandbox, which is started when it does not run
 *   npm start -- shell        a shell inside
 *   npm start -- reboot       shut down, finalising what is staged, and boot the default deployment
 *   npm start -- stop         end all of it; the disk stays
 *   npm start -- remove       end it and remove its disk, which rm(1) cannot: deployments are immutable
 *
 * The directory is .sandbox in the checkout, or what APT_OSTREE_SANDBOX names. What this program itself has to say goes to
 * standard error, so that the output of a command can be piped.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { access } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { AptOstreeError, toErrorValue } from "../model/errors.ts";
import { ensureBase } from "./base.ts";
import { demo } from "./demo.ts";
import { SandboxHost } from "./host.ts";
import { checkoutRoot } from "./layout.ts";

/** Commands of apt-ostree that speak to no daemon. */
const LOCAL_COMMANDS = new Set(["compose", "help", "--help", "-h", "--version", "-V"]);

/** Starts whatever part of the sandbox is not there: base, sysroot, namespace, daemon. A daemon of an older build is restarted. */
async function ensureRunning(host: SandboxHost): Promise<void> {
  const found = await host.processes();
  if (found?.daemon != null && !(await host.daemonIsOutdated())) return await host.startDaemon();
  await host.locked(async () => {
    if (!(await host.hasSysroot())) {
      say("Making the sandbox (the first time takes some minutes)");
      const base = await ensureBase(host.layout, say);
      await host.createSysroot({ ref: base.ref });
    }
    if (await host.daemonIsOutdated()) {
      say("Restarting apt-ostreed: it was built from older sources");
      await host.killDaemon("SIGTERM");
    }
    await host.boot();
    await host.startDaemon();
  });
}

/** Runs a program in the foreground; interrupts go to it alone. Its exit status, 128 and the signal's number where one ended it. */
async function foreground(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const ignore = (): void => {};
  process.on("SIGINT", ignore).on("SIGTERM", ignore);
  const child = spawn(command, args, { stdio: "inherit", env });
  const [status, killedBy] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  process.off("SIGINT", ignore).off("SIGTERM", ignore);
  return status ?? 128 + (killedBy === null ? 0 : constants.signals[killedBy]);
}

async function shell(host: SandboxHost): Promise<number> {
  await ensureRunning(host);
  const program = await access(join(await host.bootedDeployment(), "usr/bin/bash")).then(
    () => "bash",
    () => "sh",
  );
  say(`This is ${host.layout.directory}, a booted host; apt-ostree is at hand, "exit" leaves it running`);
  const { command, args, env } = await host.entry(program);
  return await foreground(command, args, { ...env, TERM: process.env.TERM ?? "dumb", PS1: "sandbox:\\w# " });
}

async function main(args: readonly string[]): Promise<number> {
  const host = new SandboxHost(process.env.APT_OSTREE_SANDBOX ?? join(checkoutRoot(), ".sandbox"));
  const [verb] = args;
  switch (verb) {
    case undefined:
      return await demo(host);
    case "shell":
      return await shell(host);
    case "stop":
      await host.locked(() => host.stop());
      say(`Stopped; "npm start -- status" starts it again from ${host.layout.directory}`);
      return 0;
    case "remove":
      await host.remove();
      say(`Removed ${host.layout.directory}`);
      return 0;
    case "reboot":
      await ensureRunning(host);
      await host.locked(() => host.reboot());
      return 0;
    default:
      if (!LOCAL_COMMANDS.has(verb)) await ensureRunning(host);
      return await foreground(process.execPath, [join(checkoutRoot(), "dist/src/cli.js"), ...args], { ...process.env, APT_OSTREE_BUS: host.bus });
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  say(`apt-ostree: ${toErrorValue(error).message}`);
  if (!(error instanceof AptOstreeError)) say(String(error instanceof Error ? error.stack : error));
  process.exitCode = 1;
}
