import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, utimes, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import { createServer as createSecureServer, type Server } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FetchOptions, type FetchProgress, fetchArchives, pruneArchives, pruneStalePartials } from "../../src/engines/apt/fetch.ts";
import type { AptOstreeError } from "../../src/model/errors.ts";
import type { Archive } from "../../src/model/plan.ts";
import { type Mirror, startMirror } from "../harness/mirror.ts";

const run = promisify(execFile);
let scratch: string;
let served: string;
let directory: string;
let mirror: Mirror;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "fetch-"));
  served = join(scratch, "served");
  directory = join(scratch, "archives");
  await mkdir(served);
  mirror = await startMirror(served);
});

afterEach(async () => {
  await mirror.close();
  await rm(scratch, { recursive: true, force: true });
});

/** Puts a file on the mirror and tells what a plan would say of it. */
async function publish(fileName: string, content: Buffer | number, hash: "SHA256" | "SHA512" = "SHA256"): Promise<Archive> {
  const bytes = typeof content === "number" ? randomBytes(content) : content;
  await writeFile(join(served, fileName), bytes);
  return { uri: `${mirror.url}/${fileName}`, fileName, sizeBytes: bytes.length, hash: `${hash}:${digest(bytes, hash)}` };
}

function digest(bytes: Buffer, hash = "SHA256"): string {
  return createHash(hash.toLowerCase()).update(bytes).digest("hex");
}

function options(changes: Partial<FetchOptions> = {}): FetchOptions {
  return {
    directory,
    concurrency: () => 4,
    proxyFor: () => null,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    retries: 2,
    stallTimeoutMs: 30_000,
    backoffMs: 5,
    ...changes,
  };
}

async function failure(promise: Promise<unknown>): Promise<AptOstreeError> {
  return promise.then(
    () => expect.unreachable("it should have failed"),
    (error: AptOstreeError) => error,
  );
}

async function sameAsServed(archive: Archive): Promise<boolean> {
  return (await readFile(join(directory, archive.fileName))).equals(await readFile(join(served, archive.fileName)));
}

/** The files that this process has open below the archives directory. */
async function openFiles(): Promise<string[]> {
  const links = await Promise.all((await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
  return links.filter((link) => link.startsWith(directory));
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 12_000; tries += 1) {
    if (await condition()) return;
    await sleep(5);
  }
  expect.unreachable("it should have come true within a minute");
}

describe("a sound mirror", () => {
  it("gives every archive under apt's name, verified, with the partial directory that apt wants", async () => {
    const archives = [
      await publish("vim_2%3a9.1_amd64.deb", 70_000),
      await publish("a+b_1.0~rc1_all.deb", 1),
      await publish("c_1_all.deb", 500_000, "SHA512"),
    ];
    const encoded = archives.map((archive) => ({ ...archive, uri: archive.uri.replace("%3a", "%253a").replace("+", "%2b") }));
    expect(await fetchArchives(encoded, options())).toEqual({ fetched: 3, reused: 0, bytes: 570_001 });
    for (const archive of archives) expect(await sameAsServed(archive)).toBe(true);
    expect((await readdir(directory)).sort()).toEqual(["a+b_1.0~rc1_all.deb", "c_1_all.deb", "partial", "vim_2%3a9.1_amd64.deb"]);
    expect(await readdir(join(directory, "partial"))).toEqual([]);
    expect((await stat(join(directory, "c_1_all.deb"))).mode & 0o777).toBe(0o644);
  });

  it("is not asked again for what is there", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    await fetchArchives([archive], options());
    expect(await fetchArchives([archive, archive], options())).toEqual({ fetched: 0, reused: 1, bytes: 0 });
    expect(mirror.requests).toHaveLength(1);
  });

  it("is asked again when a file has been changed, cut short or belongs to another plan", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    const path = join(directory, archive.fileName);
    await fetchArchives([archive], options());
    await writeFile(path, randomBytes(1000));
    expect((await fetchArchives([archive], options())).fetched).toBe(1);
    await writeFile(path, "short");
    expect((await fetchArchives([archive], options())).fetched).toBe(1);
    const other = await publish("a_1_all.deb", 1000);
    expect((await fetchArchives([other], options())).fetched).toBe(1);
    expect(await sameAsServed(other)).toBe(true);
  });

  it("is not asked for a file that somebody else put there and that is right", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    await mkdir(directory);
    await writeFile(join(directory, archive.fileName), await readFile(join(served, archive.fileName)));
    expect(await fetchArchives([archive], options())).toEqual({ fetched: 0, reused: 1, bytes: 0 });
    expect(mirror.requests).toHaveLength(0);
  });

  it("serves a thousand small files over a handful of connections", async () => {
    const archives = await Promise.all(Array.from({ length: 1000 }, (_, i) => publish(`p${i}_1_all.deb`, 200 + i)));
    expect((await fetchArchives(archives, options({ concurrency: () => 16 }))).fetched).toBe(1000);
    expect(mirror.connections).toBeLessThanOrEqual(16);
    expect((await fetchArchives(archives, options())).reused).toBe(1000);
  });

  it("gets no more requests at a time than it may from one host", async () => {
    const archives = await Promise.all(Array.from({ length: 8 }, (_, i) => publish(`p${i}_1_all.deb`, 2000)));
    for (const archive of archives) mirror.fault(`/${archive.fileName}`, { kind: "slow", bytesPerSecond: 40_000 });
    await fetchArchives(archives, options({ concurrency: () => 8, perHost: 2 }));
    expect(mirror.connections).toBe(2);
  });

  it("gets more requests at a time, or fewer, as soon as that is wanted, also while nothing comes", async () => {
    const archives = await Promise.all(Array.from({ length: 8 }, (_, i) => publish(`p${i}_1_all.deb`, 2000)));
    for (const archive of archives) mirror.fault(`/${archive.fileName}`, { kind: "silent" });
    const stop = new AbortController();
    let concurrency = 2;
    const fetching = fetchArchives(archives, options({ concurrency: () => concurrency, signal: stop.signal, stallTimeoutMs: 60_000 }));
    await until(() => mirror.requests.length === 2);
    await sleep(600);
    expect(mirror.requests).toHaveLength(2);
    concurrency = 5;
    await until(() => mirror.requests.length === 5);
    stop.abort();
    await expect(fetching).rejects.toMatchObject({ code: "Cancelled" });
    expect(mirror.requests).toHaveLength(5);
  });

  it("may close the connection after each answer", async () => {
    const archives = await Promise.all(Array.from({ length: 8 }, (_, i) => publish(`p${i}_1_all.deb`, 2_000_000)));
    for (const archive of archives) mirror.fault(`/${archive.fileName}`, { kind: "close" });
    expect((await fetchArchives(archives, options({ concurrency: () => 8, retries: 0 }))).bytes).toBe(16_000_000);
    expect(mirror.connections).toBe(8);
  });

  it("has its connections closed when the last fetch is over", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    await fetchArchives([archive], options());
    await until(() => mirror.openConnections === 0);
  });

  it("leads to progress that rises to the total, not too often", async () => {
    const archive = await publish("a_1_all.deb", 400_000);
    const small = await publish("b_1_all.deb", 100);
    await fetchArchives([small], options());
    mirror.fault("/a_1_all.deb", { kind: "slow", bytesPerSecond: 200_000 });
    const begun = performance.now();
    const seen: FetchProgress[] = [];
    await fetchArchives([archive, small], options({ onProgress: (progress) => seen.push(progress) }));
    expect(seen.at(-1)).toEqual({ bytesDone: 400_100, bytesTotal: 400_100, item: "a_1_all.deb" });
    expect(seen.every((progress, i) => progress.bytesDone >= (seen[i - 1]?.bytesDone ?? 0))).toBe(true);
    expect(seen.length).toBeGreaterThan(3);
    expect(seen.length).toBeLessThan(10 + (performance.now() - begun) / 100);
  });
});

describe("a transfer that breaks", () => {
  it("goes on where it was cut, byte for byte", async () => {
    const archive = await publish("a_1_all.deb", 300_000);
    mirror.fault("/a_1_all.deb", { kind: "cut", afterBytes: 100_000 }, 1);
    mirror.fault("/a_1_all.deb", { kind: "cut", afterBytes: 50_000 }, 1);
    expect(await fetchArchives([archive], options())).toEqual({ fetched: 1, reused: 0, bytes: 300_000 });
    expect(mirror.requests.map((request) => request.headers.range)).toEqual([undefined, "bytes=100000-", "bytes=150000-"]);
    expect(await sameAsServed(archive)).toBe(true);
  });

  it("is given up after the allowed tries, with the part kept for the next time", async () => {
    const archive = await publish("a_1_all.deb", 300_000);
    mirror.fault("/a_1_all.deb", { kind: "cut", afterBytes: 1000 });
    const error = await failure(fetchArchives([archive], options()));
    expect(error.code).toBe("DownloadFailed");
    expect(error.message).toBe(`cannot download a_1_all.deb from ${archive.uri}: connection closed by ${new URL(mirror.url).host}`);
    expect(mirror.requests).toHaveLength(3);
    expect((await stat(join(directory, "partial/a_1_all.deb"))).size).toBe(3000);
    mirror.clearFaults();
    expect((await fetchArchives([archive], options())).bytes).toBe(297_000);
  });

  it("counts its tries anew after each that brought a good part", async () => {
    const archive = await publish("a_1_all.deb", 6_000_000);
    mirror.fault("/a_1_all.deb", { kind: "cut", afterBytes: 1_200_000 });
    expect(await fetchArchives([archive], options({ retries: 1 }))).toEqual({ fetched: 1, reused: 0, bytes: 6_000_000 });
  });

  it("is tried again when nothing comes any more", async () => {
    const archive = await publish("a_1_all.deb", 300_000);
    mirror.fault("/a_1_all.deb", { kind: "stall", afterBytes: 1000 }, 1);
    mirror.fault("/a_1_all.deb", { kind: "silent" }, 1);
    expect((await fetchArchives([archive], options({ stallTimeoutMs: 1500 }))).bytes).toBe(300_000);
    expect(mirror.requests).toHaveLength(3);
  });

  it("names the host that sends nothing", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    mirror.fault("/a_1_all.deb", { kind: "silent" });
    const error = await failure(fetchArchives([archive], options({ stallTimeoutMs: 50, retries: 0 })));
    expect(error.code).toBe("DownloadFailed");
    expect(error.message).toContain(`nothing came from ${new URL(mirror.url).host} for 50 ms`);
  });

  it("may take as long as it likes while bytes come", async () => {
    const archive = await publish("a_1_all.deb", 100_000);
    mirror.fault("/a_1_all.deb", { kind: "slow", bytesPerSecond: 25_000 });
    expect((await fetchArchives([archive], options({ stallTimeoutMs: 2500, retries: 0 }))).fetched).toBe(1);
  });

  it.each([
    ["ignores ranges", { kind: "ignoreRange" } as const],
    ["answers with another range", { kind: "wrongRange", start: 7 } as const],
    ["refuses every range", { kind: "rangeNotSatisfiable" } as const],
  ])("begins anew where the mirror %s", async (_, fault) => {
    const archive = await publish("a_1_all.deb", 30_000);
    mirror.fault("/a_1_all.deb", { kind: "cut", afterBytes: 10_000 }, 1);
    mirror.fault("/a_1_all.deb", fault);
    expect((await fetchArchives([archive], options({ retries: 1 }))).fetched).toBe(1);
    expect(await sameAsServed(archive)).toBe(true);
  });

  it("begins anew where the part on disk belongs to another file", async () => {
    const archive = await publish("a_1_all.deb", 30_000);
    await mkdir(join(directory, "partial"), { recursive: true });
    for (const left of [randomBytes(10_000), randomBytes(30_000), randomBytes(40_000)]) {
      await writeFile(join(directory, "partial/a_1_all.deb"), left);
      expect((await fetchArchives([archive], options())).fetched).toBe(1);
      expect(await sameAsServed(archive)).toBe(true);
      await rm(join(directory, archive.fileName));
    }
  });

  it("needs no request where the part on disk is already the whole", async () => {
    const archive = await publish("a_1_all.deb", 30_000);
    await mkdir(join(directory, "partial"), { recursive: true });
    await writeFile(join(directory, "partial/a_1_all.deb"), await readFile(join(served, "a_1_all.deb")));
    expect(await fetchArchives([archive], options())).toEqual({ fetched: 1, reused: 0, bytes: 0 });
    expect(mirror.requests).toHaveLength(0);
  });

  it("is tried again when the server is busy, after the pause it asks for", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    mirror.fault("/a_1_all.deb", { kind: "status", status: 503, retryAfter: "1" }, 1);
    const begun = performance.now();
    expect((await fetchArchives([archive], options())).fetched).toBe(1);
    expect(performance.now() - begun).toBeGreaterThan(900);
  });

  it("names the one who refuses the connection", async () => {
    const archive = { ...(await publish("a_1_all.deb", 1000)), uri: "http://127.0.0.1:1/a_1_all.deb" };
    const error = await failure(fetchArchives([archive], options()));
    expect(error.message).toBe("cannot download a_1_all.deb from http://127.0.0.1:1/a_1_all.deb: connection refused by 127.0.0.1:1");
    expect(error.details).toMatchObject({ notFound: false, uri: archive.uri });
  });

  it("names the host that cannot be found", async () => {
    const archive = { ...(await publish("a_1_all.deb", 1000)), uri: "http://mirror.invalid/a_1_all.deb" };
    const error = await failure(fetchArchives([archive], options()));
    expect(error.code).toBe("DownloadFailed");
    expect(error.message).toMatch(/there is no host mirror\.invalid|the name mirror\.invalid cannot be looked up now/);
  });
});

describe("a mirror that has the wrong thing", () => {
  it("is asked once more past all caches, and then refused, with nothing left behind", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    mirror.fault("/a_1_all.deb", { kind: "wrongBytes" });
    const error = await failure(fetchArchives([archive], options()));
    expect(error.code).toBe("VerificationFailed");
    expect(error.message).toContain(`cannot verify a_1_all.deb from ${archive.uri}: its SHA256 is `);
    expect(error.details).toMatchObject({ fileName: "a_1_all.deb", uri: archive.uri, expected: archive.hash });
    expect(mirror.requests.map((request) => request.headers["cache-control"])).toEqual([undefined, "no-cache"]);
    expect(await readdir(directory, { recursive: true })).toEqual(["partial"]);
  });

  it("is forgiven where only a cache on the way was wrong", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    mirror.fault("/a_1_all.deb", { kind: "wrongBytes" }, 1);
    expect((await fetchArchives([archive], options())).fetched).toBe(1);
    expect(await sameAsServed(archive)).toBe(true);
  });

  it.each([500, 5000])("is refused where the size is wrong (%i bytes)", async (bytes) => {
    const archive = await publish("a_1_all.deb", 1000);
    mirror.fault("/a_1_all.deb", { kind: "wrongSize", bytes });
    const error = await failure(fetchArchives([archive], options()));
    expect(error.code).toBe("VerificationFailed");
    expect(error.message).toContain("not 1000");
    expect(await readdir(join(directory, "partial"))).toEqual([]);
  });

  it("tells by `notFound` that the package lists are out of date, at once", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    await rm(join(served, "a_1_all.deb"));
    const error = await failure(fetchArchives([archive], options()));
    expect(error.code).toBe("DownloadFailed");
    expect(error.details).toMatchObject({ notFound: true, uri: archive.uri });
    expect(mirror.requests).toHaveLength(1);
  });

  it("is not tried again when it forbids", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    mirror.fault("/a_1_all.deb", { kind: "status", status: 403 });
    expect((await failure(fetchArchives([archive], options()))).details).toMatchObject({ notFound: false });
    expect(mirror.requests).toHaveLength(1);
  });

  it("ends the other transfers of the fetch and keeps their parts", async () => {
    const slow = await publish("slow_1_all.deb", 100_000);
    mirror.fault("/slow_1_all.deb", { kind: "stall", afterBytes: 1000 });
    const gone = { ...slow, uri: `${mirror.url}/gone`, fileName: "gone_1_all.deb" };
    const error = await failure(fetchArchives([slow, gone], options({ stallTimeoutMs: 60_000 })));
    expect(error.message).toContain("gone_1_all.deb");
    expect(await openFiles()).toEqual([]);
    expect(existsSync(join(directory, "partial/slow_1_all.deb"))).toBe(true);
  });
});

describe("what is refused before any transfer", () => {
  it.each(["", "MD5Sum:d41d8cd98f00b204e9800998ecf8427e", "SHA1:da39a3ee5e6b4b0d3255bfef95601890afd80709", "SHA256:abc"])(
    "a hash like %j",
    async (hash) => {
      const archive = { ...(await publish("a_1_all.deb", 1000)), hash };
      const error = await failure(fetchArchives([archive], options()));
      expect(error.code).toBe("VerificationFailed");
      expect(error.message).toContain("a_1_all.deb");
      expect(mirror.requests).toHaveLength(0);
    },
  );

  it.each(["../a.deb", "/etc/a.deb", ".a.deb", "partial", "lock", ""])("a name like %j", async (fileName) => {
    const archive = { ...(await publish("a_1_all.deb", 1000)), fileName };
    expect((await failure(fetchArchives([archive], options()))).code).toBe("VerificationFailed");
    expect(mirror.requests).toHaveLength(0);
  });

  it.each(["ftp://mirror.example/a.deb", "mirror+file:/a.deb", "cdrom:[Debian]/a.deb"])("an address like %s", async (uri) => {
    const archive = { ...(await publish("a_1_all.deb", 1000)), uri };
    const error = await failure(fetchArchives([archive], options()));
    expect(error.code).toBe("DownloadFailed");
    expect(error.message).toContain(`"${uri.slice(0, uri.indexOf(":"))}:"`);
  });
});

describe("redirects, proxies, credentials", () => {
  it("follows redirects, relative ones too, up to five", async () => {
    const archive = await publish("end", 1000);
    for (let i = 1; i < 5; i += 1) mirror.fault(`/hop${i}`, { kind: "status", status: 302, location: `/hop${i + 1}` });
    mirror.fault("/hop5", { kind: "status", status: 307, location: `${mirror.url}/end` });
    expect((await fetchArchives([{ ...archive, uri: `${mirror.url}/hop1` }], options())).fetched).toBe(1);
    mirror.fault("/hop0", { kind: "status", status: 301, location: "/hop1" });
    await rm(join(directory, "end"));
    const error = await failure(fetchArchives([{ ...archive, uri: `${mirror.url}/hop0` }], options()));
    expect(error.message).toContain("more than 5 redirects");
  });

  it("resumes behind a redirect", async () => {
    const archive = await publish("end", 30_000);
    mirror.fault("/begin", { kind: "status", status: 302, location: "/end" });
    mirror.fault("/end", { kind: "cut", afterBytes: 10_000 }, 1);
    expect((await fetchArchives([{ ...archive, uri: `${mirror.url}/begin` }], options())).bytes).toBe(30_000);
  });

  it("does not follow a redirect to another kind of address", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    mirror.fault("/a_1_all.deb", { kind: "status", status: 302, location: "file:///etc/passwd" });
    expect((await failure(fetchArchives([archive], options()))).message).toContain("redirects from http to file, which is refused");
  });

  it("sends the user and password of an address, to its host only, and never shows them", async () => {
    const other = await startMirror(served);
    try {
      const archive = await publish("a_1_all.deb", 1000);
      const uri = archive.uri.replace("//", "//me:s%40cret@");
      mirror.fault("/a_1_all.deb", { kind: "status", status: 302, location: `${other.url}/a_1_all.deb` });
      await fetchArchives([{ ...archive, uri }], options());
      expect(mirror.requests[0]?.headers.authorization).toBe(`Basic ${Buffer.from("me:s@cret").toString("base64")}`);
      expect(other.requests[0]?.headers.authorization).toBeUndefined();
      mirror.clearFaults();
      mirror.fault("/b_1_all.deb", { kind: "status", status: 401 });
      const error = await failure(fetchArchives([{ ...archive, fileName: "b_1_all.deb", uri: uri.replace("a_1", "b_1") }], options()));
      expect(JSON.stringify([error.message, error.details, error.cause])).not.toContain("cret");
      expect(error.message).toContain(`${mirror.url}/b_1_all.deb`);
    } finally {
      await other.close();
    }
  });

  it("asks a proxy in plain for http, with the proxy's password", async () => {
    const seen: IncomingMessage[] = [];
    const content = randomBytes(1000);
    const proxy = createServer((request, response) => {
      seen.push(request);
      response.end(content);
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    try {
      const archive = { ...(await publish("a_1_all.deb", content)), uri: "http://mirror.example/debian/a_1_all.deb" };
      const proxyFor = (uri: string): string | null =>
        uri.includes("mirror.example") ? `http://me:secret@127.0.0.1:${(proxy.address() as AddressInfo).port}` : null;
      expect((await fetchArchives([archive], options({ proxyFor }))).fetched).toBe(1);
      expect(seen.map((request) => request.url)).toEqual(["http://mirror.example/debian/a_1_all.deb"]);
      expect(seen[0]?.headers["proxy-authorization"]).toBe(`Basic ${Buffer.from("me:secret").toString("base64")}`);
      expect(seen[0]?.headers.host).toBe("mirror.example");
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });

  it("names the proxy that refuses the connection", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    const error = await failure(fetchArchives([archive], options({ proxyFor: () => "http://me:secret@127.0.0.1:1" })));
    expect(error.message).toContain("connection refused by the proxy 127.0.0.1:1");
  });

  it("says which proxy cannot be used, without its password", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    const error = await failure(fetchArchives([archive], options({ proxyFor: () => "gopher://me:secret@proxy:1" })));
    expect(error.message).toContain("the proxy gopher://proxy:1 is not one that can be used");
  });
});

describe("https", () => {
  let secure: Server;
  let content: Buffer;
  let archive: Archive;

  beforeEach(async () => {
    const [key, cert] = [join(scratch, "key.pem"), join(scratch, "cert.pem")];
    const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"];
    await run("openssl", [...request, "-keyout", key, "-out", cert]);
    content = randomBytes(1000);
    secure = createSecureServer({ key: await readFile(key), cert: await readFile(cert) }, (asked, response) => {
      if (asked.url === "/redirected") response.writeHead(302, { location: `${mirror.url}/a_1_all.deb` }).end();
      else response.end(content);
    });
    await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
    archive = { ...(await publish("a_1_all.deb", content)), uri: `https://127.0.0.1:${(secure.address() as AddressInfo).port}/a_1_all.deb` };
  });

  afterEach(() => {
    secure.closeAllConnections();
    secure.close();
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  });

  it("is refused at once where the certificate is not trusted", async () => {
    const error = await failure(fetchArchives([archive], options({ backoffMs: 60_000 })));
    expect(error.code).toBe("DownloadFailed");
    expect(error.message).toContain(`${new URL(archive.uri).host} cannot be trusted: `);
  });

  it("is not left for http by a redirect", async () => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    const redirected = { ...archive, uri: archive.uri.replace("a_1_all.deb", "redirected") };
    expect((await failure(fetchArchives([redirected], options()))).message).toContain("redirects from https to http, which is refused");
    expect(mirror.requests).toHaveLength(0);
  });

  it("goes through the tunnel of a proxy, or is refused by it", async () => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    const asked: (string | undefined)[] = [];
    const sockets = new Set<Duplex>();
    const proxy = createServer();
    proxy.on("connect", (request, socket) => {
      asked.push(request.url);
      sockets.add(socket);
      if (request.headers["proxy-authorization"] === undefined) return socket.end("HTTP/1.1 407 Who are you\r\n\r\n");
      const target = connect((secure.address() as AddressInfo).port, "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        target.pipe(socket).pipe(target);
      });
      sockets.add(target);
      return socket;
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const host = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    try {
      expect((await failure(fetchArchives([archive], options({ proxyFor: () => `http://${host}` })))).message).toContain(
        `the proxy ${host} answered 407`,
      );
      const second = { ...archive, fileName: "b_1_all.deb" };
      const result = await fetchArchives([archive, second], options({ concurrency: () => 1, proxyFor: () => `http://me:secret@${host}` }));
      expect(result.fetched).toBe(2);
      expect(new Set(asked)).toEqual(new Set([new URL(archive.uri).host]));
      expect(asked).toHaveLength(2);
    } finally {
      for (const socket of sockets) socket.destroy();
      proxy.close();
    }
  });
});

describe("sources on this machine", () => {
  it.each(["file:", "copy:", "file://"])("are copied and verified (%s)", async (scheme) => {
    const archive = await publish("a b_1_all.deb", 400_000);
    const local = { ...archive, uri: `${scheme}${served}/a%20b_1_all.deb` };
    expect(await fetchArchives([local], options())).toEqual({ fetched: 1, reused: 0, bytes: 400_000 });
    expect(await sameAsServed(archive)).toBe(true);
    expect((await stat(join(directory, archive.fileName))).nlink).toBe(1);
  });

  it("are refused where they are wrong, and reported where they are gone", async () => {
    const archive = { ...(await publish("a_1_all.deb", 1000)), uri: `file:${served}/a_1_all.deb` };
    await writeFile(join(served, "a_1_all.deb"), randomBytes(1000));
    expect((await failure(fetchArchives([archive], options()))).code).toBe("VerificationFailed");
    await rm(join(served, "a_1_all.deb"));
    expect((await failure(fetchArchives([archive], options()))).details).toMatchObject({ notFound: true });
  });
});

describe("leaving", () => {
  it("is answered long before anything times out, keeps the part and leaves nothing open", async () => {
    const archives = [await publish("a_1_all.deb", 100_000), await publish("b_1_all.deb", 1000), await publish("c_1_all.deb", 1000)];
    mirror.fault("/a_1_all.deb", { kind: "stall", afterBytes: 40_000 });
    mirror.fault("/b_1_all.deb", { kind: "silent" });
    mirror.fault("/c_1_all.deb", { kind: "status", status: 503 });
    const leave = new AbortController();
    const fetching = failure(fetchArchives(archives, options({ signal: leave.signal, stallTimeoutMs: 60_000, backoffMs: 60_000 })));
    await until(async () => mirror.requests.length === 3 && (await stat(join(directory, "partial/a_1_all.deb")).catch(() => null))?.size === 40_000);
    const begun = performance.now();
    leave.abort();
    expect((await fetching).code).toBe("Cancelled");
    expect(performance.now() - begun).toBeLessThan(30_000);
    expect(await openFiles()).toEqual([]);
    await until(() => mirror.openConnections === 0);
    mirror.clearFaults();
    expect((await fetchArchives(archives, options())).bytes).toBe(62_000);
    expect(mirror.requests.find((request) => request.headers.range === "bytes=40000-")).toBeDefined();
  });

  it("before the beginning asks for nothing", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    expect((await failure(fetchArchives([archive], options({ signal: AbortSignal.abort() })))).code).toBe("Cancelled");
    expect(mirror.requests).toHaveLength(0);
  });
});

describe("two fetches of the same file", () => {
  it("share one download, and both see its progress", async () => {
    const archive = await publish("a_1_all.deb", 100_000);
    mirror.fault("/a_1_all.deb", { kind: "slow", bytesPerSecond: 400_000 });
    const last: FetchProgress[] = [];
    const results = await Promise.all([0, 1].map((i) => fetchArchives([archive], options({ onProgress: (progress) => (last[i] = progress) }))));
    expect(results).toEqual([0, 1].map(() => ({ fetched: 1, reused: 0, bytes: 100_000 })));
    expect(last.map((progress) => progress.bytesDone)).toEqual([100_000, 100_000]);
    expect(mirror.requests).toHaveLength(1);
  });

  it("go on for the second when the first has left, and stop when both have", async () => {
    const archive = await publish("a_1_all.deb", 100_000);
    mirror.fault("/a_1_all.deb", { kind: "slow", bytesPerSecond: 200_000 });
    const leave = [new AbortController(), new AbortController()];
    const begin = (i: number): ReturnType<typeof fetchArchives> =>
      fetchArchives([archive], options({ signal: leave[i]?.signal ?? AbortSignal.abort() }));
    const [first, second] = [failure(begin(0)), begin(1)];
    await until(() => mirror.bytesSent > 20_000);
    leave[0]?.abort();
    expect((await first).code).toBe("Cancelled");
    expect((await second).fetched).toBe(1);
    expect(mirror.requests).toHaveLength(1);

    await rm(join(directory, archive.fileName));
    leave[0] = new AbortController();
    const both = [failure(begin(0)), failure(begin(1))];
    await until(() => mirror.requests.length === 2);
    for (const controller of leave) controller.abort();
    expect((await Promise.all(both)).map((error) => error.code)).toEqual(["Cancelled", "Cancelled"]);
    await until(() => mirror.openConnections === 0);
  });

  it("begin a new download where the old one is just being given up", async () => {
    const archive = await publish("a_1_all.deb", 100_000);
    mirror.fault("/a_1_all.deb", { kind: "stall", afterBytes: 1000 }, 1);
    const leave = new AbortController();
    const first = failure(fetchArchives([archive], options({ signal: leave.signal })));
    await until(() => mirror.bytesSent >= 1000);
    leave.abort();
    const second = fetchArchives([archive], options());
    expect((await first).code).toBe("Cancelled");
    expect((await second).fetched).toBe(1);
  });

  it("wait for each other where they want different files of one name", async () => {
    const one = await publish("a_1_all.deb", 50_000);
    await mkdir(join(served, "other"));
    const two = { ...(await publish("other/a_1_all.deb", 50_000)), fileName: "a_1_all.deb" };
    const results = await Promise.all([fetchArchives([one], options()), fetchArchives([two], options())]);
    expect(results.map((result) => result.fetched)).toEqual([1, 1]);
  });
});

describe("a disk without room", () => {
  it("is noticed before anything is asked for", async () => {
    const archive = { ...(await publish("a_1_all.deb", 1000)), sizeBytes: Number.MAX_SAFE_INTEGER };
    const error = await failure(fetchArchives([archive], options()));
    expect(error.code).toBe("NoSpace");
    expect(error.message).toContain(`cannot download into ${directory}: `);
    expect(mirror.requests).toHaveLength(0);
  });

  it("that fills up on the way gives NoSpace, and the room is given back", async () => {
    await mkdir(directory);
    await run("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory]);
    try {
      const archive = await publish("a_1_all.deb", 700_000);
      mirror.fault("/a_1_all.deb", { kind: "slow", bytesPerSecond: 1_400_000 });
      const fetching = failure(fetchArchives([archive], options()));
      await until(() => mirror.requests.length === 1);
      await writeFile(join(directory, "filler"), Buffer.alloc(600_000));
      const error = await fetching;
      expect(error.code).toBe("NoSpace");
      expect(error.message).toBe(`cannot download into ${directory}: the file system is full`);
      expect(await readdir(join(directory, "partial"))).toEqual([]);
      expect(mirror.requests).toHaveLength(1);
    } finally {
      await run("umount", [directory]);
    }
  });

  it("is told from a directory that cannot be made", async () => {
    const archive = await publish("a_1_all.deb", 1000);
    await writeFile(directory, "a file");
    const error = await failure(fetchArchives([archive], options()));
    expect(error.code).toBe("DownloadFailed");
    expect(error.message).toContain(`cannot download into ${directory}: `);
  });
});

describe("pruning", () => {
  it("removes the archives that are not to be kept, and nothing else", async () => {
    const archives = [await publish("a_1_all.deb", 1000), await publish("b_1_all.deb", 2000)];
    await fetchArchives(archives, options());
    await writeFile(join(directory, "lock"), "");
    expect(await pruneArchives(directory, new Set(["a_1_all.deb"]))).toEqual({ removed: 1, bytes: 2000 });
    expect((await readdir(directory)).sort()).toEqual(["a_1_all.deb", "lock", "partial"]);
    expect(await pruneArchives(join(directory, "missing"), new Set())).toEqual({ removed: 0, bytes: 0 });
  });

  it("removes parts that nobody has gone on with, but none that is being fetched", async () => {
    const archive = await publish("a_1_all.deb", 100_000);
    mirror.fault("/a_1_all.deb", { kind: "slow", bytesPerSecond: 300_000 });
    const fetching = fetchArchives([archive], options());
    const partial = join(directory, "partial");
    await until(() => existsSync(join(partial, "a_1_all.deb")));
    for (const name of ["old", "new"]) await writeFile(join(partial, name), name);
    await utimes(join(partial, "old"), 0, 0);
    await utimes(join(partial, "a_1_all.deb"), 0, 0);
    expect(await pruneStalePartials(directory, 7)).toEqual({ removed: 1, bytes: 3 });
    expect((await readdir(partial)).sort()).toEqual(["a_1_all.deb", "new"]);
    expect((await fetching).fetched).toBe(1);
  });
});
