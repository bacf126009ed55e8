/** The remotes of the repository, read from ostree's configuration and changed through ostree-remote(1), one change at a time. */
import { mkdir, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import PQueue from "p-queue";
import { withoutCredentials } from "../../model/credentials.ts";
import { AptOstreeError } from "../../model/errors.ts";
import type { Remote, RemoteRef, RemoteSettings, SignKey, Verification } from "../../model/remote.ts";
import type { SysrootSnapshot } from "../../model/sysroot.ts";
import { exec } from "../exec.ts";
import type { Paths } from "../paths.ts";
import { removeTree } from "../tree.ts";
import { parseKeyFile } from "./keyfile.ts";
import { ostreeFetch, ostreeGpg, ostreeRepo } from "./ostree.ts";
import { isPulling } from "./pulls.ts";

/** Where a booted system keeps remotes beside the repository's own configuration (ostree.repo-config(5)). */
const REMOTES_DIR = "/etc/ostree/remotes.d";
/** Keys that are trusted for every remote (ostree(1), "GPG VERIFICATION"). */
const TRUSTED_KEYS_DIR = "/usr/share/ostree/trusted.gpg.d";
const CHANGE_TIMEOUT_MS = 60_000;
const REFS_TIMEOUT_MS = 60_000;
/** Lists that are read at once, each by a child of its own. */
const LISTS_AT_ONCE = 2;
/** Remotes that are asked at once: each child mostly waits, and more than one user may ask what does not answer. */
const ASKED_AT_ONCE = 8;
/** Questions that wait, of either sort. */
const MAX_QUEUED = 64;

/** See above. */
export class Remotes {
  readonly #paths: Paths;
  readonly #changes = new PQueue({ concurrency: 1 });
  readonly #lists = new PQueue({ concurrency: LISTS_AT_ONCE });
  readonly #asked = new PQueue({ concurrency: ASKED_AT_ONCE });

  constructor(paths: Paths) {
    this.#paths = paths;
  }

  /** Every remote, by name. Throws Busy where too many wait. */
  async list(): Promise<Remote[]> {
    return await inTurn(this.#lists, async () => {
      const names = await this.#names();
      return await Promise.all(names.map(async (name) => describe(name, await this.#settingsOf(name))));
    });
  }

  /** What the summary of a remote lists. Throws NotFound for an unknown remote, DownloadFailed, VerificationFailed, and Busy as `list` does. */
  async refs(name: string): Promise<RemoteRef[]> {
    const text = await inTurn(this.#asked, async () => {
      await this.#require(name, "list the refs of");
      return await ostreeFetch(this.#paths, `list the refs of ${name}`, ["remote", "summary", name], { timeoutMs: REFS_TIMEOUT_MS });
    });
    return parseSummary(text);
  }

  /**
   * Adds a remote. Throws Conflict where there is one of that name, InvalidRequest where it has no address, or where commits are to be
   * verified and nothing says by which key.
   */
  async add(name: string, settings: RemoteSettings): Promise<void> {
    const { url, gpgKeys = [], signKeys = [] } = settings;
    if (url === undefined) throw new AptOstreeError("InvalidRequest", `cannot add remote ${name}: it has no address`);
    const gpgVerify = settings.gpgVerify ?? (signKeys.length === 0 || gpgKeys.length > 0);
    if (gpgVerify && gpgKeys.length === 0 && !(await hasTrustedKeys())) {
      const why = "its commits are to be verified and no key is trusted; give the publisher's key with --gpg-import, or say --no-gpg-verify";
      throw new AptOstreeError("InvalidRequest", `cannot add remote ${name}: ${why}`);
    }
    await this.#change(async () => {
      if ((await this.#names()).includes(name)) throw new AptOstreeError("Conflict", `cannot add remote ${name}: there is one of that name`);
      await this.#write(name, url, await this.#merged(new Map(), { ...settings, gpgVerify }), false);
      try {
        await this.#trust(name, gpgKeys);
      } catch (error) {
        await this.#delete(name);
        throw error;
      }
    });
  }

  /** Changes what is given, in one step, after new keys are trusted. Throws NotFound, and Busy while something is pulled from the remote. */
  async modify(name: string, settings: RemoteSettings): Promise<void> {
    await this.#change(async () => {
      await this.#require(name, "modify");
      this.#refuseWhilePulling(name, "modify");
      const before = await this.#settingsOf(name);
      await this.#trust(name, settings.gpgKeys ?? []);
      await this.#write(name, settings.url ?? addressIn(before), await this.#merged(before, settings), true);
    });
  }

  /** Removes a remote with its keys. Throws NotFound, Conflict where a deployment follows it and `force` is not given, and Busy as `modify` does. */
  async delete(snapshot: Pick<SysrootSnapshot, "deployments">, name: string, force: boolean): Promise<void> {
    await this.#change(async () => {
      await this.#require(name, "delete");
      this.#refuseWhilePulling(name, "delete");
      const followers = snapshot.deployments.filter(({ origin }) => origin.refspec.startsWith(`${name}:`));
      if (followers.length > 0 && !force) {
        const what = followers.map(({ index, origin }) => `deployment ${index} follows ${origin.refspec}`).join(", ");
        throw new AptOstreeError("Conflict", `cannot delete remote ${name}: ${what}; --force deletes it all the same`, {
          details: { remote: name, deployments: followers.map(({ id }) => id) },
        });
      }
      await this.#delete(name);
    });
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    return this.#changes.add(work);
  }

  #refuseWhilePulling(name: string, verb: string): void {
    if (isPulling(this.#paths, name)) throw new AptOstreeError("Busy", `cannot ${verb} remote ${name}: something is being pulled from it`);
  }

  async #names(): Promise<string[]> {
    const text = await ostreeRepo(this.#paths, "list the remotes", ["remote", "list"]);
    return text
      .split("\n")
      .filter((name) => name !== "")
      .sort();
  }

  async #require(name: string, verb: string): Promise<void> {
    const names = await this.#names();
    if (names.includes(name)) return;
    const there = names.length === 0 ? "there is no remote" : `there is none of that name, only ${names.join(", ")}`;
    throw new AptOstreeError("NotFound", `cannot ${verb} remote ${name}: ${there}`, { details: { remote: name, remotes: names } });
  }

  /** The keys of a remote's group, wherever it is configured. */
  async #settingsOf(name: string): Promise<ReadonlyMap<string, string>> {
    const beside = this.#paths.sysroot === "/" ? await readdir(REMOTES_DIR).catch(() => []) : [];
    const files = [join(this.#paths.repo, "config"), ...beside.filter((file) => file.endsWith(".conf")).map((file) => join(REMOTES_DIR, file))];
    for (const file of files) {
      const group = parseKeyFile(await readFile(file, "utf8")).get(`remote "${name}"`);
      if (group !== undefined) return group;
    }
    return new Map();
  }

  /** The keys of a remote with what is to change in them; the address apart. */
  async #merged(before: ReadonlyMap<string, string>, settings: RemoteSettings): Promise<Map<string, string>> {
    const { branches, gpgVerify, gpgVerifySummary, signKeys } = settings;
    const keys = new Map([...before].filter(([key]) => key !== "url" && key !== "metalink"));
    if (branches !== undefined) keys.set("branches", branches.map((branch) => `${branch};`).join(""));
    if (gpgVerify !== undefined) keys.set("gpg-verify", String(gpgVerify));
    if (gpgVerifySummary !== undefined) keys.set("gpg-verify-summary", String(gpgVerifySummary));
    if (signKeys !== undefined) {
      for (const key of [...keys.keys()]) if (/^(sign-verify|verification-.*)$/.test(key)) keys.delete(key);
      for (const [key, value] of await signSettings(signKeys)) keys.set(key, value);
    }
    return keys;
  }

  /** ostree writes the whole group at once, in a file that takes the old one's place. */
  async #write(name: string, url: string, keys: ReadonlyMap<string, string>, replace: boolean): Promise<void> {
    const sets = [...keys].map(([key, value]) => `--set=${key}=${value}`);
    const args = ["remote", "add", ...(replace ? ["--force"] : []), ...sets, name, url];
    await ostreeRepo(this.#paths, `${replace ? "modify" : "add"} remote ${name}`, args, { timeoutMs: CHANGE_TIMEOUT_MS });
  }

  async #trust(name: string, keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    await mkdir(this.#paths.tmp, { recursive: true, mode: 0o700 });
    const directory = await mkdtemp(join(this.#paths.tmp, "keys-"));
    try {
      for (const [index, key] of keys.entries()) {
        const file = join(directory, `${index}.gpg`);
        await writeFile(file, Buffer.from(key, "base64"), { mode: 0o600 });
        await ostreeGpg(this.#paths, `trust a key for remote ${name}`, ["remote", "gpg-import", `--keyring=${file}`, name], {
          timeoutMs: CHANGE_TIMEOUT_MS,
        });
      }
    } finally {
      await removeTree(directory);
    }
  }

  async #delete(name: string): Promise<void> {
    await ostreeRepo(this.#paths, `delete remote ${name}`, ["remote", "delete", name], { timeoutMs: CHANGE_TIMEOUT_MS });
  }
}

/** Throws Busy where too many wait. */
function inTurn<T>(queue: PQueue, work: () => Promise<T>): Promise<T> {
  if (queue.size >= MAX_QUEUED) throw new AptOstreeError("Busy", `cannot answer: ${queue.size} questions about remotes wait already`);
  return queue.add(work);
}

/** `ostree remote summary`: "* REF", and further in the size of its commit in parentheses, then the commit. */
function parseSummary(text: string): RemoteRef[] {
  return [...text.matchAll(/^\* (\S+)\n\s+Latest Commit[^\n]*\n\s+([0-9a-f]{64})$/gm)].map(([, ref = "", commit = ""]) => ({ ref, commit }));
}

/** What a group of the configuration says. ostree verifies OpenPGP signatures unless it is told not to, and others only where it is told to. */
function describe(name: string, settings: ReadonlyMap<string, string>): Remote {
  const sign = settings.get("sign-verify") ?? "false";
  const types = sign === "true" ? ["any"] : sign === "false" ? [] : sign.split(/[;,]/).filter((type) => type !== "");
  const verification: Verification[] = [
    ...(settings.get("gpg-verify") === "false" ? [] : (["gpg"] as const)),
    ...types.map((type) => `sign:${type}` as const),
  ];
  return {
    name,
    url: withoutCredentials(addressIn(settings)),
    verification: verification.length === 0 ? ["none"] : verification,
    verifiesSummary: settings.get("gpg-verify-summary") === "true",
    branches: (settings.get("branches") ?? "").split(";").filter((branch) => branch !== ""),
  };
}

/** The address as `ostree remote add` takes it. */
function addressIn(settings: ReadonlyMap<string, string>): string {
  const metalink = settings.get("metalink");
  return metalink === undefined ? (settings.get("url") ?? "") : `metalink=${metalink}`;
}

/** The settings by which ostree verifies its own signatures. Throws InvalidRequest for a type that it was built without. */
async function signSettings(keys: readonly SignKey[]): Promise<[string, string][]> {
  const types = [...new Set(keys.map(({ type }) => type))];
  if (types.length === 0) return [["sign-verify", "false"]];
  const { stdout: version } = await exec("ostree", ["--version"]);
  const features = version.split("\n").map((line) => line.replace(/^\s*-\s*/, "").trim());
  for (const type of types) {
    if (features.includes(`sign-${type}`) || (type === "ed25519" && features.includes("libsodium"))) continue;
    throw new AptOstreeError("InvalidRequest", `cannot verify ${type} signatures: the ostree of this system was built without them`);
  }
  const settings: [string, string][] = [["sign-verify", types.join(";")]];
  for (const { type, key } of keys) {
    const name = `verification-${type}-key`;
    if (settings.some(([one]) => one === name))
      throw new AptOstreeError("InvalidRequest", `cannot verify with several ${type} keys: ostree takes one`);
    settings.push([name, key]);
  }
  return settings;
}

async function hasTrustedKeys(): Promise<boolean> {
  const names = await readdir(TRUSTED_KEYS_DIR).catch(() => []);
  return names.some((name) => /\.(gpg|asc)$/.test(name));
}
