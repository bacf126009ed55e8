import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Context, Daemon } from "../../src/cli/context.ts";
import { main } from "../../src/cli/main.ts";
import type { PackageDiff, Revision, Why, WhyNot } from "../../src/model/inspection.ts";
import type { RemoteSettings } from "../../src/model/remote.ts";
import { deployment, snapshot } from "../harness/memory-scheduler.ts";

const revision = (name: string): Revision => ({ name, commit: "c".repeat(64), version: "13.1", timestampS: 0, deployment: null });
const one = (name: string, version = "1") => ({ name, architecture: "amd64", version });

/** Runs a command line against a daemon that answers as given; what it was asked is kept. */
async function run(daemon: Partial<Daemon>, ...args: readonly string[]): Promise<{ status: number; out: string; err: string }> {
  const said = { out: "", err: "" };
  const output = (stream: "out" | "err") => ({
    write: (text: string): void => {
      said[stream] += text;
    },
    terminal: false,
    colour: false,
    columns: () => 80,
  });
  const context = {
    stdout: output("out"),
    stderr: output("err"),
    clock: { nowMs: () => 0, after: () => () => {} },
    uid: 0,
    onSignal: () => () => {},
    connect: async () => ({ close: async () => undefined, ...daemon }) as unknown as Daemon,
  } satisfies Context;
  return { status: await main(args, context), ...said };
}

const statusOf =
  (...deployments: Parameters<typeof deployment>[2][]) =>
  async () => ({
    version: "1",
    staleMs: 0,
    snapshot: snapshot(
      1,
      deployments.map((values, index) => deployment("debian", index, values)),
    ),
    transactions: [],
  });

describe("db list", () => {
  const packages = [one("vim"), one("vim-tiny", "2"), one("nano")];
  const daemon = { status: statusOf({ booted: true }), packages: async (name: string) => ({ revision: revision(name), packages }) };

  it("shows a table of those that match", async () => {
    expect((await run(daemon, "db", "list")).out).toBe("vim       1  amd64\nvim-tiny  2  amd64\nnano      1  amd64\n");
    expect((await run(daemon, "db", "list", "0", "vim?tin*", "nano")).out).toBe("vim-tiny  2  amd64\nnano      1  amd64\n");
    expect(JSON.parse((await run(daemon, "db", "list", "vim*", "--json")).out)).toMatchObject({
      revision: { name: "booted" },
      packages: [{ name: "vim" }, { name: "vim-tiny" }],
    });
  });

  it("is of what the next boot starts where the sysroot is not the one that runs", async () => {
    const { out } = await run({ ...daemon, status: statusOf({}) }, "db", "list", "--json");
    expect(JSON.parse(out)).toMatchObject({ revision: { name: "default" } });
  });
});

describe("db diff", () => {
  const packageDiff = async (from: string, to: string): Promise<PackageDiff> => ({ from: revision(from), to: revision(to), changes: [] });

  it.each([
    ["booted and pending", [{ pending: true, staged: true }, { booted: true }, { rollback: true }], [], "booted (13.1) -> pending (13.1)"],
    ["rollback and booted", [{ booted: true }, { rollback: true }], [], "rollback (13.1) -> booted (13.1)"],
    ["one that is named and the next one", [{ booted: true }], ["1"], "1 (13.1) -> default (13.1)"],
    ["two that are named", [{ booted: true }], ["cccccccc", "0"], "cccccccccccc (13.1) -> 0 (13.1)"],
  ])("compares %s", async (_what, deployments, args, head) => {
    const { out, status } = await run({ status: statusOf(...deployments), packageDiff }, "db", "diff", ...args);
    expect({ out, status }).toEqual({ out: `${head}\nNo packages differ.\n`, status: 0 });
  });
});

describe("why", () => {
  const base: Why = { revision: revision("default"), package: one("lib"), reason: "dependency", requests: [], auto: true, chain: [], wantedBy: [] };
  const link = (from: string, to: string, provided = false) => ({
    from: `${from}:amd64`,
    field: "Depends" as const,
    relation: to,
    to: `${to}:amd64`,
    provided,
  });

  it.each<[Partial<Why>, string]>([
    [{ reason: "base" }, "lib 1 is part of the base\n"],
    [{ reason: "base", requests: ["lib"] }, "lib 1 is part of the base; it was also requested as lib, which is inactive\n"],
    [{ reason: "requested", requests: ["lib=1"] }, "lib 1 is layered because it was requested as lib=1\n"],
    [{ reason: "override", requests: ["lib:amd64=1@abc"] }, "lib 1 is there in place of the base's, by an override: lib 1\n"],
    [{}, "lib 1 is layered, and nothing that was requested needs it now\n"],
    [
      { chain: [link("app", "mid"), link("mid", "lib", true)], wantedBy: [link("mid", "lib", true), link("other", "lib")] },
      "lib 1 is layered because something that was requested needs it\nHow it is reached:\n  app Depends: mid\n  mid Depends: lib, which lib provides\nAlso wanted by:\n  other Depends: lib\n",
    ],
  ])("says it in words: %j", async (values, out) => {
    expect(await run({ why: async () => ({ ...base, ...values }) }, "why", "lib")).toEqual({ status: 0, out, err: "" });
  });

  it("is asked of an install that is only planned, or of a revision, not both", async () => {
    const asked: unknown[] = [];
    const whyPlanned = async (spec: string, wanted: readonly string[]): Promise<Why> => {
      asked.push([spec, wanted]);
      return base;
    };
    expect((await run({ whyPlanned }, "why", "lib", "--with", "app", "-w", "other=1")).status).toBe(0);
    expect(asked).toEqual([["lib", ["app", "other=1"]]]);
    expect((await run({ whyPlanned }, "why", "lib", "--with", "app", "-r", "0")).status).toBe(2);
  });

  it("shows no more than a person reads, and nothing that steers the terminal", async () => {
    const wantedBy = Array.from({ length: 14 }, (_, i) => link(`p${i}\u001b[31m`, "lib"));
    const { out } = await run({ why: async () => ({ ...base, wantedBy }) }, "why", "lib");
    expect(out).toContain("  and 4 more\n");
    expect(out).not.toContain("\u001b");
  });
});

describe("why-not", () => {
  const answer: WhyNot = {
    spec: "x",
    verdict: "unknown",
    summary: "x is unknown",
    reasons: ["r"],
    explanation: ["e"],
    versions: [],
    similar: ["xy"],
  };

  it("ends with 1 where something stands in the way, and with 0 where nothing does", async () => {
    expect(await run({ whyNot: async () => answer }, "why-not", "x")).toEqual({ status: 1, out: "x is unknown\n  r\nSimilar names: xy\n", err: "" });
    for (const verdict of ["present", "installable"] as const)
      expect((await run({ whyNot: async () => ({ ...answer, verdict }) }, "why-not", "x")).status).toBe(0);
    const versions = [{ version: "2", source: "here" }];
    expect((await run({ whyNot: async () => ({ ...answer, similar: [], versions }) }, "why-not", "x")).out).toBe(
      "x is unknown\n  r\nVersions in the sources:\n  2  here\n",
    );
  });
});

describe("remote", () => {
  async function settings(...args: readonly string[]): Promise<RemoteSettings | string> {
    let given: RemoteSettings | null = null;
    const keep = async (_name: string, value: RemoteSettings): Promise<void> => {
      given = value;
    };
    const { err } = await run({ addRemote: keep, modifyRemote: keep }, "remote", ...args);
    return given ?? err;
  }

  it("reads keys from files, as the caller, and passes on what was said and nothing else", async () => {
    const directory = mkdtempSync(join(tmpdir(), "cli-"));
    try {
      const [gpg, sign] = [join(directory, "a.gpg"), join(directory, "sign")];
      writeFileSync(gpg, Buffer.from([0x98, 1, 2]));
      writeFileSync(sign, "QUJD\n");
      expect(await settings("add", "r", "http://a/", "--gpg-import", gpg, "--gpg-import", gpg, "-b", "x/y")).toEqual({
        url: "http://a/",
        gpgKeys: ["mAEC", "mAEC"],
        branches: ["x/y"],
      });
      expect(await settings("add", "r", "http://a/", "--sign-verify", `ed25519=file:${sign}`, "--sign-verify", "ed25519=inline:QUJE")).toEqual({
        url: "http://a/",
        signKeys: [
          { type: "ed25519", key: "QUJD" },
          { type: "ed25519", key: "QUJE" },
        ],
      });
      expect(await settings("modify", "r", "--no-gpg-verify", "--gpg-verify-summary")).toEqual({ gpgVerify: false, gpgVerifySummary: true });
      expect(await settings("add", "r", "http://a/", "--gpg-import", join(directory, "none"))).toMatch(/^error: cannot read .*none: ENOENT/);
      expect(await settings("add", "r", "http://a/", "--sign-verify", "QUJD")).toMatch(/it is not TYPE=KEY or TYPE=file:PATH/);
      expect(await settings("modify", "r")).toMatch(/no option says what is to change/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
