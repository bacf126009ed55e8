/** `apt-ostree remote`: where bases are pulled from. */
import { readFile } from "node:fs/promises";
import { AptOstreeError } from "../../model/errors.ts";
import { checkRemoteName, checkRemoteSettings, type RemoteSettings, type SignKey } from "../../model/remote.ts";
import type { Context, Globals } from "../context.ts";
import { OK } from "../exit.ts";
import { printable, tableOf } from "../format.ts";
import { withDaemon } from "../session.ts";

/** The options that say what a remote is like. */
export interface RemoteOptions {
  /** Paths of files. */
  readonly gpgImport?: readonly string[];
  readonly gpgVerify?: boolean;
  readonly gpgVerifySummary?: boolean;
  /** "TYPE=KEY" or "TYPE=file:PATH". */
  readonly signVerify?: readonly string[];
  readonly branch?: readonly string[];
}

/** `remote list`. */
export async function list(context: Context, globals: Globals, options: { readonly json?: boolean; readonly showUrls?: boolean }): Promise<number> {
  const remotes = await withDaemon(context, globals, (daemon) => daemon.remotes());
  if (options.json === true) context.stdout.write(`${JSON.stringify(remotes, null, 2)}\n`);
  else if (options.showUrls === true)
    context.stdout.write(
      tableOf(
        remotes.map(({ name, url, verification }) => [
          name,
          printable(url),
          `verified by ${verification.join(" and ")}`.replace("verified by none", "not verified"),
        ]),
      ),
    );
  else context.stdout.write(remotes.map(({ name }) => `${name}\n`).join(""));
  return OK;
}

/** `remote add`. The files with keys are read here, as the caller. */
export async function add(context: Context, globals: Globals, name: string, url: string, options: RemoteOptions): Promise<number> {
  const settings = checkRemoteSettings({ url, ...(await settingsOf(options)) });
  await withDaemon(context, globals, (daemon) => daemon.addRemote(checkRemoteName(name), settings));
  return OK;
}

/** `remote modify`. */
export async function modify(context: Context, globals: Globals, name: string, options: RemoteOptions & { readonly url?: string }): Promise<number> {
  const settings = checkRemoteSettings({ ...(options.url === undefined ? {} : { url: options.url }), ...(await settingsOf(options)) });
  if (Object.keys(settings).length === 0)
    throw new AptOstreeError("InvalidRequest", `cannot modify remote ${name}: no option says what is to change`);
  await withDaemon(context, globals, (daemon) => daemon.modifyRemote(checkRemoteName(name), settings));
  return OK;
}

/** `remote delete`. */
export async function remove(context: Context, globals: Globals, name: string, options: { readonly force?: boolean }): Promise<number> {
  await withDaemon(context, globals, (daemon) => daemon.deleteRemote(checkRemoteName(name), options.force === true));
  return OK;
}

/** `remote refs`. */
export async function refs(context: Context, globals: Globals, name: string, options: { readonly json?: boolean }): Promise<number> {
  const found = await withDaemon(context, globals, (daemon) => daemon.remoteRefs(checkRemoteName(name)));
  if (options.json === true) context.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
  else context.stdout.write(tableOf(found.map(({ ref, commit }) => [printable(ref), commit])));
  return OK;
}

async function settingsOf(options: RemoteOptions): Promise<RemoteSettings> {
  const { gpgImport, gpgVerify, gpgVerifySummary, signVerify, branch } = options;
  return {
    ...(branch === undefined ? {} : { branches: branch }),
    ...(gpgVerify === undefined ? {} : { gpgVerify }),
    ...(gpgVerifySummary === undefined ? {} : { gpgVerifySummary }),
    ...(gpgImport === undefined ? {} : { gpgKeys: await Promise.all(gpgImport.map(async (file) => (await read(file)).toString("base64"))) }),
    ...(signVerify === undefined ? {} : { signKeys: await Promise.all(signVerify.map(signKeyOf)) }),
  };
}

async function signKeyOf(text: string): Promise<SignKey> {
  const [, type, key] = /^([a-z0-9]+)=(.+)$/.exec(text) ?? [];
  if (type === undefined || key === undefined)
    throw new AptOstreeError("InvalidRequest", `cannot verify with ${JSON.stringify(text)}: it is not TYPE=KEY or TYPE=file:PATH`);
  const path = /^file:(.+)$/.exec(key)?.[1];
  return { type, key: path === undefined ? key.replace(/^inline:/, "") : (await read(path)).toString("utf8").trim() };
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new AptOstreeError("NotFound", `cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
}
