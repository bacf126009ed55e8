/** The commands about remotes: names, options and help. */
import type { Command } from "commander";
import { collect, type Run } from "./arguments.ts";
import type { RemoteOptions } from "./commands/remote.ts";
import type { Context } from "./context.ts";

/** Adds `remote`. */
export function addRemotes(program: Command, context: Context, run: Run): void {
  const remote = program.command("remote").description("show and change where bases are pulled from");
  const withSettings = (command: Command): Command =>
    command
      .option("--gpg-import <file>", "trust the OpenPGP public keys in a file; may be given several times", collect)
      .option("--gpg-verify", "take only commits with a trusted OpenPGP signature, which is the default")
      .option("--no-gpg-verify", "take commits without an OpenPGP signature")
      .option("--gpg-verify-summary", "take only a summary with a trusted OpenPGP signature")
      .option("--no-gpg-verify-summary", "take any summary, which is the default")
      .option("--sign-verify <type=key>", "take only commits that this key has signed: ed25519=KEY or ed25519=file:PATH", collect)
      .option("-b, --branch <ref>", "a ref that a pull takes; may be given several times", collect);
  remote
    .command("list", { isDefault: true })
    .description("list the remotes")
    .option("-u, --show-urls", "show addresses and how commits are verified")
    .option("--json", "print a JSON array")
    .action((options: { json?: boolean; showUrls?: boolean }, command: Command) =>
      run(command, async (globals) => (await import("./commands/remote.ts")).list(context, globals, options)),
    );
  withSettings(remote.command("add").description("add a remote").argument("<name>", "its name").argument("<url>", "its address")).action(
    (name: string, url: string, options: RemoteOptions, command: Command) =>
      run(command, async (globals) => (await import("./commands/remote.ts")).add(context, globals, name, url, options)),
  );
  withSettings(remote.command("modify").description("change a remote").argument("<name>", "its name"))
    .option("--url <url>", "its new address")
    .action((name: string, options: RemoteOptions & { url?: string }, command: Command) =>
      run(command, async (globals) => (await import("./commands/remote.ts")).modify(context, globals, name, options)),
    );
  remote
    .command("delete")
    .description("remove a remote with its keys")
    .argument("<name>", "its name")
    .option("--force", "also where a deployment follows it")
    .action((name: string, options: { force?: boolean }, command: Command) =>
      run(command, async (globals) => (await import("./commands/remote.ts")).remove(context, globals, name, options)),
    );
  remote
    .command("refs")
    .description("list the refs that a remote's summary has")
    .argument("<name>", "its name")
    .option("--json", "print a JSON array")
    .action((name: string, options: { json?: boolean }, command: Command) =>
      run(command, async (globals) => (await import("./commands/remote.ts")).refs(context, globals, name, options)),
    );
}
