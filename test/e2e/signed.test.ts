/** Sources that are signed, as Debian's are: whose key the host has counts, and nothing else. */
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { machineArchitecture } from "../harness/debs.ts";
import { World } from "../harness/world.ts";

/** A key pair of gpg(1) in a directory of its own. */
class Signer {
  readonly #home: string;

  private constructor(home: string) {
    this.#home = home;
  }

  static async make(name: string): Promise<Signer> {
    const signer = new Signer(await mkdtemp(join(tmpdir(), "gpg-")));
    await signer.#gpg("--passphrase", "", "--quick-generate-key", `${name} <${name}@example.org>`, "rsa3072", "sign", "never");
    return signer;
  }

  /** The public key, armoured. */
  async key(): Promise<string> {
    return await this.#gpg("--armor", "--export");
  }

  /** Signs the suite of a repository: InRelease beside Release. */
  async sign(dists: string): Promise<void> {
    await rm(join(dists, "InRelease"), { force: true });
    await this.#gpg("--clearsign", "--output", join(dists, "InRelease"), join(dists, "Release"));
  }

  async close(): Promise<void> {
    await exec("gpgconf", ["--homedir", this.#home, "--kill", "all"]);
    await rm(this.#home, { recursive: true, force: true });
  }

  async #gpg(...args: readonly string[]): Promise<string> {
    return (await exec("gpg", ["--homedir", this.#home, "--batch", "--yes", "--pinentry-mode", "loopback", ...args])).stdout;
  }
}

describe("a source that is signed", () => {
  let world: World;
  let signer: Signer;
  let other: Signer;
  let dists = "";
  let etc = "";
  beforeAll(async () => {
    [signer, other] = await Promise.all([Signer.make("signer"), Signer.make("other")]);
    world = await World.make("e2e-signed");
    dists = join(world.host.layout.directory, "mirror/dists/test");
  });
  beforeEach(async () => {
    await world.reset();
    etc = join(await world.host.bootedDeployment(), "etc");
    await world.publish({ name: "signed", version: "1", files: { "/usr/share/signed": "signed" } });
    await signer.sign(dists);
  });
  afterAll(async () => {
    await world?.close();
    await signer?.close();
    await other?.close();
  });

  /** The only source of the host, with the words after Signed-By. */
  async function trust(signedBy: string): Promise<void> {
    const stanza = `Types: deb\nURIs: ${world.mirror.url}\nSuites: test\nComponents: main\n${signedBy === "" ? "" : `Signed-By:${signedBy}\n`}`;
    await world.host.addSource("test", stanza);
  }

  async function keyring(name: string, key: string): Promise<string> {
    await mkdir(join(etc, "apt/keyrings"), { recursive: true });
    await writeFile(join(etc, "apt/keyrings", name), key);
    return ` /etc/apt/keyrings/${name}`;
  }

  test("by a key of the host is installed from, and the key is not in the commit", async () => {
    await trust(await keyring("ours.asc", await signer.key()));
    await world.ok("refresh-md");
    await world.ok("install", "signed");
    const { directory } = await world.next();
    expect(await readFile(join(directory, "usr/share/signed"), "utf8")).toBe("signed");
    await expect(stat(join(directory, "usr/etc/apt/keyrings/ours.asc"))).rejects.toThrow(/ENOENT/);
    await world.reboot();
    // It is of the host: a new deployment has it still, and goes on with it.
    expect(await readFile(join(await world.host.bootedDeployment(), "etc/apt/keyrings/ours.asc"), "utf8")).toContain("PUBLIC KEY");
    await world.ok("upgrade");
    await world.expectClean();
    await world.expectSound();
  });

  test("by a key that the source itself holds is installed from", async () => {
    const lines = (await signer.key()).trimEnd().split("\n");
    await trust(`\n${lines.map((line) => ` ${line === "" ? "." : line}`).join("\n")}`);
    await world.ok("refresh-md");
    await world.ok("install", "signed");
    expect((await world.next()).origin.requested).toEqual(["signed"]);
  });

  test("by another key, by none, or by one that is not there is refused by name, and the lists stay as they were", async () => {
    await trust(await keyring("ours.asc", await signer.key()));
    await world.ok("refresh-md");
    const refused = { code: "VerificationFailed", message: new RegExp(world.mirror.url.replaceAll(".", "\\.")) } as const;
    await other.sign(dists);
    await world.failing(["refresh-md"], refused);
    await rm(join(dists, "InRelease"));
    await world.failing(["refresh-md"], refused);
    await signer.sign(dists);
    await trust(" /etc/apt/keyrings/absent.asc");
    await world.failing(["refresh-md"], refused);
    await trust("");
    await world.failing(["refresh-md"], refused);
    await trust(await keyring("ours.asc", await signer.key()));
    await world.ok("install", "signed");
    await world.expectClean();
  });

  test("and was changed on its way is refused: list or package", async () => {
    await trust(await keyring("ours.asc", await signer.key()));
    // A list that apt has already is not fetched again, so this is a new one.
    await world.publish({ name: "signed", version: "2", files: { "/usr/share/signed": "signed" } });
    await signer.sign(dists);
    const packages = join(dists, `main/binary-${machineArchitecture()}/Packages`);
    const text = await readFile(packages, "utf8");
    await writeFile(packages, text.replace("test package signed", "test package forged"));
    await world.failing(["refresh-md"], { code: "VerificationFailed", message: /Packages|Hash Sum|unexpected size/ });
    await writeFile(packages, text);
    await world.ok("refresh-md");
    world.mirror.fault("/pool/main/signed_2_all.deb", { kind: "wrongBytes" });
    await world.failing(["install", "signed"], { code: "VerificationFailed", message: /signed/ });
  });
});
