import { describe, expect, it } from "vitest";
import { parseKeyFile } from "../../src/engines/ostree/keyfile.ts";
import { isPulling, whilePulling } from "../../src/engines/ostree/pulls.ts";
import { checkRemoteName, parseRemoteSettings } from "../../src/model/remote.ts";

const armoured = Buffer.from("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxxxx\n-----END PGP PUBLIC KEY BLOCK-----\n").toString("base64");
const binary = Buffer.from([0x98, 0x33, 0x04]).toString("base64");
const parse = (value: unknown) => parseRemoteSettings(JSON.stringify(value));
const refusal = expect.objectContaining({ code: "InvalidRequest", message: expect.stringMatching(/^cannot use /) });

function thrown(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

describe("the settings of a remote", () => {
  it("are read as they are", () => {
    const settings = {
      url: "https://127.0.0.1/repo",
      branches: ["debian/13/amd64/base"],
      gpgVerify: true,
      gpgVerifySummary: false,
      gpgKeys: [armoured, binary],
      signKeys: [{ type: "ed25519", key: Buffer.alloc(32).toString("base64") }],
    };
    expect(parse(settings)).toEqual(settings);
    expect(parse({})).toEqual({});
    for (const url of ["http://a", "file:///srv/repo", "mirrorlist=https://a/list", "metalink=http://a/x.xml"])
      expect(parse({ url })).toEqual({ url });
  });

  it.each([
    ["no object", []],
    ["null", null],
    ["an unknown key", { proxy: "http://a" }],
    ["another scheme", { url: "ftp://a/" }],
    ["an address with a line end, which would be a second line of the configuration", { url: "http://a/\ngpg-verify=false" }],
    ["an address with a blank", { url: "http://a b/" }],
    ["an address that is a number", { url: 1 }],
    ["an option for a branch", { branches: ["--force"] }],
    ["branches that are no list", { branches: "a" }],
    ["a branch with a semicolon, which parts them", { branches: ["a;b"] }],
    ["a flag that is text", { gpgVerify: "false" }],
    ["a key that is none", { gpgKeys: [Buffer.from("hello").toString("base64")] }],
    ["a key that is not in base64", { gpgKeys: ["-----BEGIN PGP PUBLIC KEY BLOCK-----"] }],
    ["a secret key", { gpgKeys: [Buffer.from([0x94, 0x33]).toString("base64")] }],
    ["a signing key without a type", { signKeys: [{ key: "aaaa" }] }],
    ["a signing key with a line end", { signKeys: [{ type: "ed25519", key: "aaaa\nx" }] }],
  ])("are refused where they have %s", (_what, value) => {
    expect(thrown(() => parse(value))).toEqual(refusal);
  });

  it("are refused where they are no JSON", () => {
    expect(thrown(() => parseRemoteSettings("url=http://a"))).toEqual(refusal);
  });
});

describe("the name of a remote", () => {
  it.each(["debian", "a", "my-remote_2.x"])("may be %s", (name) => expect(checkRemoteName(name)).toBe(name));
  it.each(["", "-x", "a b", 'a"]', "a:b", "../a", "a\n", "x".repeat(65)])("may not be %j", (name) => {
    expect(thrown(() => checkRemoteName(name))).toEqual(refusal);
  });
});

describe("a key file", () => {
  it("is read by groups, whatever else is in it", () => {
    const groups = parseKeyFile('# comment\n[core]\nmode=bare\n\n[remote "a"]\nurl = http://h/?a=b \ngpg-verify=false\nno line\n[core]\nx=1\n');
    expect(Object.fromEntries(groups.get("core") ?? [])).toEqual({ mode: "bare", x: "1" });
    expect(Object.fromEntries(groups.get('remote "a"') ?? [])).toEqual({ url: "http://h/?a=b", "gpg-verify": "false" });
    expect(parseKeyFile("a=1\n").size).toBe(0);
  });
});

describe("a pull", () => {
  it("is known while it lasts, also where several are from one remote, and where they fail", async () => {
    const here = { repo: "/a" };
    let end = (): void => undefined;
    const first = whilePulling(here, "r", () => new Promise<void>((resolve) => (end = resolve)));
    await expect(whilePulling(here, "r", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect([isPulling(here, "r"), isPulling(here, "s"), isPulling({ repo: "/b" }, "r")]).toEqual([true, false, false]);
    end();
    await first;
    expect(isPulling(here, "r")).toBe(false);
  });
});
