/** Local packages: `.deb` files that people give, kept by their content for as long as a deployment is made from them. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AptOstreeError } from "../../model/errors.ts";
import { newId } from "../../model/ids.ts";
import { checkPackageSpec } from "../../model/names.ts";
import { hashOfLocal } from "../../model/tree.ts";
import { localFileName } from "../apt/words.ts";
import { ExecError, exec, lastLines } from "../exec.ts";
import type { Paths } from "../paths.ts";
import { bwrapArgs, USR_LINKS } from "../sandbox.ts";

/** The largest file that is taken. */
export const MAX_LOCAL_BYTES = 4 * 1024 ** 3;
/** What no deployment is made from stays for so long: a transaction that waits may want it. */
const KEPT_MS = 24 * 3600 * 1000;
const READ_TIMEOUT_MS = 60_000;

/** Copies of files by their paths; the local packages that they are. Throws NotFound, InvalidRequest and NoSpace. */
export async function keepFiles(paths: Paths, files: readonly string[], signal?: AbortSignal): Promise<string[]> {
  const kept: string[] = [];
  for (const file of files) {
    const found = await stat(file).catch(() => null);
    if (found === null) throw new AptOstreeError("NotFound", `cannot read ${file}: there is no such file on the daemon's host`);
    if (!found.isFile()) throw new AptOstreeError("InvalidRequest", `cannot read ${file}: it is not a file`);
    if (found.size > MAX_LOCAL_BYTES) throw new AptOstreeError("InvalidRequest", `cannot read ${file}: it is larger than ${MAX_LOCAL_BYTES} bytes`);
    kept.push(await keep(paths, createReadStream(file), file, signal));
  }
  return kept;
}

/** Keeps what is read, under its hash, and gives the local package that it is. Throws InvalidRequest for what is none, and NoSpace. */
export async function keep(paths: Paths, source: AsyncIterable<Uint8Array>, title: string, signal?: AbortSignal): Promise<string> {
  await mkdir(paths.locals, { recursive: true, mode: 0o755 });
  const fresh = join(paths.locals, `new-${newId()}`);
  const hash = createHash("sha256");
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  try {
    await pipeline(source, hashing, createWriteStream(fresh, { mode: 0o644 }), signal === undefined ? {} : { signal });
    const { name, version, architecture } = await describe(fresh, title);
    const local = `${checkPackageSpec(name)}:${architecture}=${version}@${hash.digest("hex")}`;
    const handle = await open(fresh, "r");
    await handle.sync().finally(() => handle.close());
    await rename(fresh, join(paths.locals, localFileName(local)));
    return local;
  } catch (error) {
    await rm(fresh, { force: true });
    if ((error as NodeJS.ErrnoException).code === "ENOSPC")
      throw new AptOstreeError("NoSpace", `cannot keep ${title}: the file system is full`, { cause: error });
    throw error;
  }
}

/** Whether every local package of a list is there. Throws NotFound, naming those that are not. */
export async function requireKept(paths: Paths, locals: readonly string[]): Promise<void> {
  const there = new Set(await readdir(paths.locals).catch(() => []));
  const missing = locals.filter((local) => !there.has(localFileName(local)));
  if (missing.length === 0) return;
  throw new AptOstreeError(
    "NotFound",
    `cannot use ${missing.join(", ")}: the file that was kept is gone; install it again from a file, or uninstall it`,
    {
      details: { packages: missing },
    },
  );
}

/** Says that files are wanted still. */
export async function touchKept(paths: Paths, locals: readonly string[]): Promise<void> {
  const now = new Date();
  for (const local of locals) await utimes(join(paths.locals, localFileName(local)), now, now).catch(() => undefined);
}

/** Removes what no deployment is made from and nobody touched for a day. */
export async function pruneKept(paths: Paths, used: readonly string[]): Promise<void> {
  const keepers = new Set(used.map((local) => `${hashOfLocal(local)}.deb`));
  for (const name of await readdir(paths.locals).catch(() => [])) {
    const found = await stat(join(paths.locals, name)).catch(() => null);
    if (found !== null && !keepers.has(name) && Date.now() - found.mtimeMs > KEPT_MS) await rm(join(paths.locals, name), { force: true });
  }
}

/** The fields of a package, read by dpkg-deb(1) where a malicious file finds nothing. */
async function describe(file: string, title: string): Promise<{ name: string; version: string; architecture: string }> {
  const root = ["--ro-bind", "/usr", "/usr", ...USR_LINKS, "--tmpfs", "/tmp", "--ro-bind", file, "/tmp/package.deb"];
  const format = "${Package}\t${Version}\t${Architecture}";
  const command = ["dpkg-deb", "--show", `--showformat=${format}`, "/tmp/package.deb"];
  const sandbox = { network: false, capabilities: [], env: { PATH: "/usr/bin:/usr/sbin", LC_ALL: "C.UTF-8" }, root };
  try {
    const { stdout } = await exec("bwrap", bwrapArgs(sandbox, command), { timeoutMs: READ_TIMEOUT_MS });
    const [, name, version, architecture] = /^([a-z0-9][a-z0-9+.-]+)\t([A-Za-z0-9.+:~-]+)\t([a-z0-9-]+)$/.exec(stdout) ?? [];
    if (name !== undefined && version !== undefined && architecture !== undefined) return { name, version, architecture };
    throw new AptOstreeError("InvalidRequest", `cannot use ${title}: its name, version or architecture is malformed`);
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    throw new AptOstreeError(
      "InvalidRequest",
      `cannot use ${title}: it is no Debian package: ${lastLines(error.stderr, 1).replace(/^dpkg-deb: error: /, "")}`,
      {
        cause: error,
      },
    );
  }
}
