import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { fetchArchives } from "../../src/engines/apt/fetch.ts";
import { PRINT_URIS_OPTIONS, parseAptError, parseInstallSummary, parsePrintUris } from "../../src/engines/apt/output.ts";
import { machineArchitecture, makeDeb, makeRepository } from "../harness/debs.ts";
import { type Mirror, startMirror } from "../harness/mirror.ts";

const run = promisify(execFile);
let scratch: string;
let mirror: Mirror;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "fetchplan-"));
  const pool = join(scratch, "debs");
  const debs = await Promise.all([
    makeDeb(pool, {
      name: "fetchplan-app",
      version: "1:2.0~rc1-1+b1",
      depends: "fetchplan-lib (>= 1)",
      files: { "/usr/bin/fetchplan": "#!/bin/sh\n" },
    }),
    makeDeb(pool, { name: "fetchplan-lib", version: "1.0", architecture: machineArchitecture() }),
    makeDeb(pool, { name: "fetchplan-broken", version: "1.0", depends: "fetchplan-missing" }),
  ]);
  const repository = await makeRepository(join(scratch, "repository"), debs);
  mirror = await startMirror(repository.directory);
  await mkdir(join(scratch, "etc/apt/sources.list.d"), { recursive: true });
  await writeFile(join(scratch, "etc/apt/sources.list.d/test.sources"), repository.sourceFor(mirror.url));
  for (const directory of ["etc/apt/apt.conf.d", "etc/apt/preferences.d", "lists/partial", "cache/archives/partial"])
    await mkdir(join(scratch, directory), { recursive: true });
  await writeFile(join(scratch, "status"), "");
  await writeFile(join(scratch, "apt.conf"), aptConf(scratch));
});

afterEach(async () => {
  await mirror.close();
  await rm(scratch, { recursive: true, force: true });
});

/** apt with a state of its own, an empty system, and no dpkg to run. */
function aptConf(root: string): string {
  return `Dir "${root}";
Dir::Etc "${root}/etc/apt";
Dir::State::status "${root}/status";
Dir::State::lists "${root}/lists";
Dir::Cache "${root}/cache";
Dir::Log "${root}/log";
Dir::Bin::dpkg "/bin/false";
Dir::Bin::methods "/usr/lib/apt/methods";
APT::Architecture "${machineArchitecture()}";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "0";
Debug::NoLocking "1";
`;
}

async function apt(...args: string[]): Promise<string> {
  return (await run("apt-get", ["-q", ...args], { env: { PATH: process.env.PATH, LC_ALL: "C.UTF-8", APT_CONFIG: join(scratch, "apt.conf") } }))
    .stdout;
}

it("real apt refreshes from the test mirror, plans, and what it plans is fetched and verified", async () => {
  await apt("update");
  const stdout = await apt("install", ...PRINT_URIS_OPTIONS, "--", "fetchplan-app");
  expect(parseInstallSummary(stdout).new).toEqual(["fetchplan-app", "fetchplan-lib"]);
  const archives = parsePrintUris(stdout);
  expect(archives.map((archive) => archive.fileName).sort()).toEqual([
    "fetchplan-app_1%3a2.0~rc1-1+b1_all.deb",
    `fetchplan-lib_1.0_${machineArchitecture()}.deb`,
  ]);
  const directory = join(scratch, "cache/archives");
  const options = { directory, concurrency: () => 4, retries: 1, stallTimeoutMs: 5000, proxyFor: () => null, onProgress: () => undefined };
  const result = await fetchArchives(archives, { ...options, signal: new AbortController().signal });
  expect(result).toMatchObject({ fetched: 2, reused: 0 });
  for (const archive of archives) {
    expect((await stat(join(directory, archive.fileName))).size).toBe(archive.sizeBytes);
    expect(await readFile(join(directory, archive.fileName))).toEqual(await readFile(join(scratch, "debs", archive.fileName)));
  }
  // With the archives in place apt finds nothing left to download: it takes the names and sizes for its own.
  expect(parsePrintUris(await apt("install", ...PRINT_URIS_OPTIONS, "--", "fetchplan-app"))).toEqual([]);
});

it("real apt's refusals are told apart", async () => {
  await apt("update");
  const refusal = async (...names: string[]): Promise<ReturnType<typeof parseAptError>> => {
    const error = await apt("install", ...PRINT_URIS_OPTIONS, "--", ...names).then(
      () => expect.unreachable("apt should have refused"),
      (thrown: { stdout: string; stderr: string }) => thrown,
    );
    return parseAptError(`${error.stderr}\n${error.stdout}`);
  };
  expect((await refusal("fetchplan-none", "fetchplan-app", "fetchplan-nil")).toValue()).toMatchObject({
    code: "UnknownPackage",
    details: { packages: ["fetchplan-none", "fetchplan-nil"] },
  });
  expect((await refusal("fetchplan-broken")).toValue()).toMatchObject({
    code: "Unsatisfiable",
    details: { reasons: ["fetchplan-broken: Depends: fetchplan-missing but it is not installable"] },
  });
  await mirror.close();
  const update = await apt("update").then(
    () => expect.unreachable("there is no mirror any more"),
    (thrown: { stdout: string; stderr: string }) => parseAptError(`${thrown.stderr}\n${thrown.stdout}`),
  );
  expect(update.code).toBe("DownloadFailed");
});
