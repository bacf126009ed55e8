/** The reading commands: which packages a deployment or commit has, how two differ, why one is there or cannot be. */
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PackageDiff, PackageSet, Why, WhyNot } from "../../src/model/inspection.ts";
import { testBase } from "../harness/host.ts";
import { type Ended, World } from "../harness/world.ts";

function changelogOf(...versions: readonly string[]): Buffer {
  const entries = versions.map(
    (version) =>
      `app (${version}) test; urgency=medium\n\n  * What is new in ${version}.\n\n -- T <t@example.org>  Mon, 01 Jan 2024 00:00:00 +0000\n`,
  );
  return gzipSync(entries.join("\n"));
}

const app = (version: string, ...changelog: readonly string[]) => ({
  name: "app",
  version,
  depends: "app-data (>= 1), mail-thing | nothing-else",
  recommends: "app-extras",
  files: { "/usr/share/app": version, "/usr/share/doc/app/changelog.Debian.gz": changelogOf(version, ...changelog) },
});
const one = (name: string, values: object = {}) => ({ name, version: "1", files: { [`/usr/share/${name}.txt`]: name }, ...values });
const OTHERS = [
  one("app-data", { depends: "deep" }),
  one("app-extras"),
  one("deep"),
  one("mailer", { provides: "mail-thing" }),
  one("alone"),
  one("newer", { depends: "libc6 (>= 99)" }),
  one("foe", { conflicts: "bash" }),
  one("enemy", { conflicts: "app" }),
  one("lost", { depends: "nowhere-to-be-found" }),
];

describe("the packages of deployments and commits", () => {
  let world: World;
  let first: string;
  let withOneDeployment: Ended[];

  beforeAll(async () => {
    world = await World.make("e2e-db");
    await world.offer(app("1.0", "0.9"), ...OTHERS);
    withOneDeployment = [await world.cli("db", "list", "rollback"), await world.cli("db", "diff")];
    await world.ok("install", "app", "mailer");
    first = (await world.next()).commit;
    await world.reboot();
    await world.offer(app("1.2", "1.1", "1.0", "0.9"), ...OTHERS);
    await world.ok("upgrade");
    await world.ok("install", "alone");
  });
  afterAll(() => world?.close());

  const json = async <T>(...args: readonly string[]): Promise<T> => JSON.parse(await world.ok(...args, "--json")) as T;
  const { ref } = testBase();

  test("are listed by deployment, commit, start of a commit, ref and version, and by pattern", async () => {
    const booted = await world.ok("db", "list");
    expect(booted).toMatch(/^app +1\.0 +all$/m);
    expect(booted).toMatch(/^libc6 +\S+ +\S+$/m);
    expect(booted).not.toMatch(/^alone /m);
    expect(await world.ok("db", "list", "pending", "alone", "app-*")).toMatch(/^alone +1 +all\napp-data +1 +all\napp-extras +1 +all\n$/);
    for (const revision of ["booted", "1", first, first.slice(0, 10)]) expect(await world.ok("db", "list", revision), revision).toBe(booted);
    const base = await json<PackageSet>("db", "list", ref);
    expect(base.packages.map(({ name }) => name)).toContain("bash");
    expect(base.packages.map(({ name }) => name)).not.toContain("app");
    expect((await json<PackageSet>("db", "list", base.revision.version, "app*")).revision.commit).toBe(base.revision.commit);
    expect(await world.ok("db", "list", "app", "--json").catch(() => "refused")).toBe("refused");
  });

  test("of a revision that nobody knows are NotFound, with what there is", async () => {
    const { status, stderr } = await world.cli("db", "list", "no-such");
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^error: cannot find revision no-such: it is no deployment, commit, ref or version; the deployments are booted, .*pending/,
    );
    expect(stderr).toContain(ref);
    expect(withOneDeployment.map(({ status: ended, stderr: said }) => [ended, said])).toEqual([
      [1, expect.stringMatching(/^error: cannot find revision rollback: there is no such deployment; the deployments are booted, default, 0 /)],
      [1, expect.stringMatching(/^error: cannot compare: there is no pending and no rollback deployment/)],
    ]);
    expect(await world.cli("db", "list", "--", "--repo=/etc")).toMatchObject({ status: 2, stderr: expect.stringMatching(/that is no name for one/) });
  });

  test("differ as the result of a transaction says, in text and JSON, from the booted to the pending one unless others are named", async () => {
    const text = await world.ok("db", "diff");
    expect(text).toMatch(/^booted .* -> pending .*\nAdded:\n {2}alone 1\nUpgraded:\n {2}app 1\.0 -> 1\.2\n$/);
    const there = await json<PackageDiff>("db", "diff", "booted", "pending");
    expect(there.changes).toEqual([
      { name: "alone", architecture: "all", from: "", to: "1" },
      { name: "app", architecture: "all", from: "1.0", to: "1.2" },
    ]);
    const back = await json<PackageDiff>("db", "diff", "pending", "booted");
    expect(back.changes.map(({ from, to }) => [to, from])).toEqual(there.changes.map(({ from, to }) => [from, to]));
    expect(await world.ok("db", "diff", "booted", first)).toMatch(/No packages differ/);
    expect((await json<PackageDiff>("db", "diff", ref, "booted")).changes.map(({ name }) => name)).toEqual([
      "app",
      "app-data",
      "app-extras",
      "deep",
      "mailer",
    ]);
  });

  test("have changelogs, of which the entries between the two versions are shown", async () => {
    const text = await world.ok("db", "diff", "--changelogs");
    expect(text).toContain("app 1.0 -> 1.2\n  app (1.2) test; urgency=medium\n\n    * What is new in 1.2.");
    expect(text).toContain("What is new in 1.1.");
    expect(text).not.toMatch(/What is new in (1\.0|0\.9)/);
    const { changelogs } = await json<{ changelogs: unknown }>("db", "diff", "--changelogs");
    expect(changelogs).toEqual([
      { name: "app", architecture: "all", from: "1.0", to: "1.2", truncated: false, text: expect.stringContaining("1.2") },
    ]);
  });

  test("have a version and a digest that is the same for equal packages", async () => {
    expect(await world.ok("db", "version")).toMatch(
      /^Revision: +booted.*\nVersion: +\S+\nCommit: +[0-9a-f]{64}\nDate: .*\nPackages: +\d+, digest [0-9a-f]{16}\n$/,
    );
    const digest = async (revision: string) => (await json<{ digest: string }>("db", "version", revision)).digest;
    expect(await digest("booted")).toBe(await digest(first));
    expect(await digest("booted")).not.toBe(await digest("pending"));
  });

  test("are told why they are there", async () => {
    expect(await world.ok("why", "app")).toMatch(/^app 1\.2 is layered because it was requested as app\n/);
    const deep = await json<Why>("why", "deep");
    expect(deep).toMatchObject({ reason: "dependency", auto: true, requests: [] });
    expect(deep.chain.map(({ from, field, relation, to }) => [from, field, relation, to])).toEqual([
      ["app:all", "Depends", "app-data (>= 1)", "app-data:all"],
      ["app-data:all", "Depends", "deep", "deep:all"],
    ]);
    expect(await world.ok("why", "app-extras")).toMatch(/app Recommends: app-extras/);
    expect(await json<Why>("why", "mailer")).toMatchObject({
      reason: "requested",
      wantedBy: [{ from: "app:all", relation: "mail-thing", provided: true }],
    });
    expect(await world.ok("why", "libc6")).toMatch(/^libc6 \S+ is part of the base\n/);
    expect(await world.ok("why", "app", "--revision", "booted")).toMatch(/^app 1\.0 is layered/);
    expect(await world.cli("why", "enemy")).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/cannot explain enemy: it is not in default; why-not/),
    });
  });

  test("that are not there are told why not, and nothing is changed by asking", async () => {
    const before = await world.state();
    const asked = async (spec: string, verdict: WhyNot["verdict"], text: RegExp): Promise<void> => {
      const { status, stdout, stderr } = await world.cli("why-not", spec);
      expect(stdout, `${spec}: ${stderr}`).toMatch(text);
      expect(status).toBe(verdict === "installable" || verdict === "present" ? 0 : 1);
      expect(JSON.parse((await world.cli("why-not", spec, "--json")).stdout)).toMatchObject({ spec, verdict });
    };
    await asked("deep", "present", /^deep 1 is there: it is layered/);
    await asked("bash", "present", /^bash \S+ is there: it is part of the base/);
    await asked("ap", "unknown", /^ap is unknown: no source has it\n[\s\S]*Similar names: app/);
    await asked("app=7", "unknown", /app=7 is unknown[\s\S]*Versions in the sources:\n {2}1\.2 /);
    await asked(
      "newer",
      "unsatisfiable",
      /^newer cannot be installed: it does not go with libc6 of the base\n[\s\S]*libc6 \(>= 99\)[\s\S]*the base has libc6 \S+/,
    );
    await asked("lost", "unsatisfiable", /nowhere-to-be-found/);
    await asked("enemy", "unsatisfiable", /^enemy cannot be installed[\s\S]*app/);
    const foe = JSON.parse((await world.cli("why-not", "foe", "--json")).stdout) as WhyNot;
    expect(["protected", "unsatisfiable"]).toContain(foe.verdict);
    expect(foe.reasons.join("\n")).toMatch(/bash/);
    await world.expectUnchanged(before);
  });

  test("that an install would bring are told why, with the relations that the lists have", async () => {
    const before = await world.state();
    await world.offer(app("1.2"), ...OTHERS, one("suite", { depends: "suite-lib" }), one("suite-lib", { recommends: "far (>= 1)" }), one("far"));
    const far = await json<Why>("why", "far", "--with", "suite");
    expect(far).toMatchObject({ reason: "dependency", auto: true, package: { name: "far", version: "1" } });
    expect(far.chain.map(({ from, field, to }) => `${from} ${field} ${to}`)).toEqual([
      "suite:all Depends suite-lib:all",
      "suite-lib:all Recommends far:all",
    ]);
    expect(await world.ok("why", "suite", "--with", "suite")).toMatch(/^suite 1 is layered because it was requested as suite\n/);
    expect(await world.ok("why", "app-data", "--with", "suite")).toMatch(/ {2}app Depends: app-data/);
    expect((await world.cli("why", "foe", "--with", "suite")).stderr).toMatch(/cannot explain foe: it is not in what install suite would make/);
    expect((await world.cli("why", "far", "--with", "lost")).stderr).toMatch(/cannot install lost: .*nowhere-to-be-found/);
    await world.expectUnchanged(before);
  });

  test("of the base that an override replaces or removes are told as such", async () => {
    await world.offer(app("1.2"), ...OTHERS, one("netbase", { version: "99" }));
    expect((await world.cli("why-not", "netbase=99")).stdout).toMatch(
      /^netbase=99 would change the base[\s\S]*the base's netbase \S+ would be upgraded/,
    );
    await world.ok("override", "replace", "netbase=99");
    await world.ok("override", "remove", "zstd");
    expect(await world.ok("why", "netbase")).toMatch(/^netbase 99 is there in place of the base's, by an override: netbase=99\n/);
    expect(await world.ok("why-not", "netbase")).toMatch(/^netbase 99 is there: it is layered/);
    expect((await world.cli("why", "zstd")).stderr).toMatch(/cannot explain zstd: .* an override removes it from the base/);
    expect((await world.cli("why-not", "zstd")).stdout).toMatch(
      /^zstd is taken out of the base by an override\n {2}"override reset zstd" brings it back/,
    );
    expect(await world.ok("db", "diff")).toMatch(/Upgraded:\n[\s\S]* {2}netbase \S+ -> 99\n[\s\S]*Removed:\n {2}zstd /);
    await world.ok("override", "reset", "--all");
  });

  test("are read while a transaction assembles, and a name that is an option reaches no program", async () => {
    await world.offer(app("1.2"), ...OTHERS, one("slow", { scripts: { postinst: "sleep 4321" } }));
    const id = await world.submit("install", "slow");
    await world.untilRuns("sleep 4321");
    await world.withClient(async (client) => {
      expect((await client.packages("booted")).packages.length).toBeGreaterThan(50);
      expect(await client.whyNot("alone")).toMatchObject({ verdict: "present" });
      for (const name of ["--repo=/tmp", "../etc", "", "a b"]) await expect(client.packages(name)).rejects.toMatchObject({ code: "InvalidRequest" });
      for (const spec of ["-o=Dir::Etc=/tmp", "a;b", ""]) await expect(client.whyNot(spec)).rejects.toMatchObject({ code: "InvalidRequest" });
    });
    await world.ok("cancel", id);
    await world.expectClean();
    await world.expectSound();
  });
});
