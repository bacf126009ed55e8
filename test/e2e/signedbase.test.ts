/** Remotes over HTTP: configured from the command line, their commits signed with OpenPGP, their updates sent as static deltas. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Remote, RemoteRef } from "../../src/model/remote.ts";
import { testBase } from "../harness/host.ts";
import { type Mirror, startMirror } from "../harness/mirror.ts";
import { World } from "../harness/world.ts";

const UPSTREAM = "/sysroot/published";
const KEYS = "/sysroot/keys";
const REMOTE = "publisher";

describe("a remote that signs its commits", () => {
  const { ref } = testBase();
  const refspec = `${REMOTE}:${ref}`;
  let world: World;
  let web: Mirror;
  let first: string;

  beforeAll(async () => {
    world = await World.make("e2e-signedbase");
    await world.offer();
    await sh(`for who in publisher stranger; do
        mkdir -p -m 700 ${KEYS}/$who
        gpg --homedir ${KEYS}/$who --batch --quiet --passphrase '' --quick-generate-key $who@example.org ed25519 sign never
        gpg --homedir ${KEYS}/$who --armor --export > ${KEYS}/$who.asc
      done
      ostree init --repo=${UPSTREAM} --mode=archive
      ostree config --repo=${UPSTREAM} set archive.zlib-level 1
      ostree pull-local --repo=${UPSTREAM} /sysroot/ostree/repo ${ref}
      ostree gpg-sign --repo=${UPSTREAM} --gpg-homedir=${KEYS}/publisher ${ref} publisher@example.org
      ostree summary --repo=${UPSTREAM} --update`);
    first = await sh(`ostree rev-parse --repo=${UPSTREAM} ${ref}`);
    web = await startMirror(onMachine(UPSTREAM));
  });
  afterAll(async () => {
    await web?.close();
    await world?.close();
  });

  /** Runs a script on the host; agents that gpg started for it do not outlive it. */
  async function sh(script: string): Promise<string> {
    const done = `set -e; trap 'for d in ${KEYS}/*/; do gpgconf --homedir $d --kill all || true; done' EXIT\n${script}`;
    return (await world.host.exec("sh", ["-c", done])).stdout.trim();
  }

  const onMachine = (path: string): string => path.replace("/sysroot", world.host.layout.sysroot);
  const keyOf = (who: string): string => onMachine(join(KEYS, `${who}.asc`));
  const objects = (): number => web.requests.filter(({ path }) => /^\/objects\/.*\.filez$/.test(path)).length;
  const deltas = (): number => web.requests.filter(({ path }) => path.startsWith("/deltas/")).length;
  const remotes = async (): Promise<Remote[]> => JSON.parse(await world.ok("remote", "list", "--json")) as Remote[];

  /** A new base with a few files more; its commit. `who` signs it, or nobody. */
  async function publish(version: string, who: string | null, delta = false): Promise<string> {
    const before = await sh(`ostree rev-parse --repo=${UPSTREAM} ${ref}`);
    const signing = who === null ? "" : `--gpg-sign=${who}@example.org --gpg-homedir=${KEYS}/${who}`;
    const commit = await sh(`d=$(mktemp -d); mkdir -p $d/usr/share/base; for i in 1 2 3 4 5 6 7 8; do echo ${version} $i > $d/usr/share/base/$i; done
      ostree commit --repo=${UPSTREAM} --branch=${ref} --base=${ref} --tree=dir=$d --owner-uid=0 --owner-gid=0 ${signing} \
        --add-metadata-string=version=${version} --add-metadata=ostree.bootable=true --subject=${version}; rm -r $d`);
    if (delta) await sh(`ostree static-delta generate --repo=${UPSTREAM} --from=${before} --to=${commit} ${ref}`);
    await sh(`ostree summary --repo=${UPSTREAM} --update`);
    return commit;
  }

  /** The publisher takes back what it published last. */
  async function takeBack(commit: string): Promise<void> {
    await sh(`ostree refs --repo=${UPSTREAM} --force --create=${ref} ${commit}; ostree summary --repo=${UPSTREAM} --update`);
  }

  async function refused(args: readonly string[], status: number, message: RegExp): Promise<void> {
    const ended = await world.cli(...args);
    expect(ended, ended.stderr).toMatchObject({ status, stderr: expect.stringMatching(message) });
    expect(ended.stderr).toMatch(/^error: cannot /);
  }

  test("is not added without a key to verify it by, nor with what is no key", async () => {
    await refused(["remote", "add", REMOTE, web.url], 2, /cannot add remote publisher: .*no key is trusted; .*--gpg-import, or say --no-gpg-verify/);
    await refused(["remote", "add", REMOTE, web.url, "--gpg-import", join(import.meta.dirname, "signed.test.ts")], 2, /no OpenPGP public key/);
    await refused(["remote", "add", REMOTE, web.url, "--gpg-import", "/no/such/file"], 1, /cannot read \/no\/such\/file/);
    await refused(["remote", "add", REMOTE, "ftp://127.0.0.1/", "--no-gpg-verify"], 2, /the address is not http/);
    await refused(["remote", "add", "a b", web.url, "--no-gpg-verify"], 2, /as the name of a remote/);
    expect(await remotes()).toEqual([]);
  });

  test("is added with its key, listed, and tells its refs", async () => {
    await world.ok("remote", "add", REMOTE, web.url, "--gpg-import", keyOf("publisher"));
    expect(await remotes()).toEqual([{ name: REMOTE, url: web.url, verification: ["gpg"], verifiesSummary: false, branches: [] }]);
    expect(await world.ok("remote")).toBe(`${REMOTE}\n`);
    expect(await world.ok("remote", "list", "--show-urls")).toMatch(new RegExp(`^${REMOTE} +${web.url} +verified by gpg\n$`));
    expect(JSON.parse(await world.ok("remote", "refs", REMOTE, "--json")) as RemoteRef[]).toEqual([{ ref, commit: first }]);
    await refused(["remote", "add", REMOTE, web.url, "--no-gpg-verify"], 1, /cannot add remote publisher: there is one of that name/);
    await refused(["remote", "refs", "nobody"], 1, /cannot list the refs of remote nobody: there is none of that name, only publisher/);
  });

  test("keeps user name and password to itself, in lists and in errors", async () => {
    await world.ok("remote", "add", "private", "http://me:secret@127.0.0.1:9/repo", "--no-gpg-verify");
    const [list, refs] = [await world.ok("remote", "list", "-u"), await world.cli("remote", "refs", "private")];
    expect(list).toMatch(/^private +http:\/\/127\.0\.0\.1:9\/repo +not verified$/m);
    expect(refs).toMatchObject({ status: 1, stderr: expect.stringMatching(/cannot list the refs of private: .*127\.0\.0\.1:9/) });
    expect(`${list}${refs.stderr}`).not.toMatch(/secret|me@/);
    await world.ok("remote", "delete", "private");
  });

  test("that ostree cannot verify for want of ed25519 is refused with the reason, where it was built so", async () => {
    const { stdout } = await world.host.exec("ostree", ["--version"]);
    const { status, stderr } = await world.cli(
      "remote",
      "add",
      "other",
      web.url,
      "--sign-verify",
      `ed25519=${Buffer.alloc(32, 7).toString("base64")}`,
    );
    if (/sign-ed25519|libsodium/.test(stdout)) {
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect((await remotes()).find(({ name }) => name === "other")).toMatchObject({ verification: ["sign:ed25519"] });
      await world.ok("remote", "delete", "other");
    } else {
      expect(status).toBe(2);
      expect(stderr).toMatch(/cannot verify ed25519 signatures: the ostree of this system was built without them/);
    }
  });

  test("gives an upgrade that its key has signed", async () => {
    await sh(`sed -i 's,^refspec=.*,refspec=${refspec},' /sysroot/ostree/deploy/*/deploy/*.origin`);
    await world.withClient((client) => client.reload());
    // The commit that is deployed came without a signature, as from an installer, and that is no reason to show nothing.
    expect(await world.deployments()).toMatchObject([{ origin: { refspec } }]);
    const commit = await publish("14.1", "publisher");
    await world.ok("upgrade");
    expect(objects()).toBeGreaterThan(0);
    expect(await world.next()).toMatchObject({ version: "14.1", commit, origin: { refspec, baseCommit: commit } });
    await world.expectSound();
  });

  test("gives an upgrade as a static delta, without any of the objects", async () => {
    const commit = await publish("14.2", "publisher", true);
    const [objectsBefore, deltasBefore] = [objects(), deltas()];
    await world.ok("upgrade");
    expect(await world.next()).toMatchObject({ version: "14.2", commit });
    expect(deltas()).toBeGreaterThan(deltasBefore);
    expect(objects()).toBe(objectsBefore);
    await world.expectSound();
  });

  test.each([
    ["nobody has signed", null],
    ["a stranger has signed", "stranger"],
  ])("cannot bring in a commit that %s, not as a delta either", async (_what, who) => {
    const good = (await world.next()).commit;
    for (const delta of [false, true]) {
      await publish(`15.${Number(delta)}`, who, delta);
      await world.failing(["upgrade"], { code: "VerificationFailed", message: new RegExp(`cannot pull ${REMOTE}:${ref}: .*(signature|GPG)`, "i") });
      await takeBack(good);
    }
    expect(await world.next()).toMatchObject({ version: "14.2", commit: good });
    expect(await world.ok("upgrade")).toMatch(/Everything is up to date/);
  });

  test("is trusted with one more key once that is imported", async () => {
    await world.ok("remote", "modify", REMOTE, "--gpg-import", keyOf("stranger"));
    const commit = await publish("14.3", "stranger");
    await world.ok("upgrade");
    expect(await world.next()).toMatchObject({ version: "14.3", commit });
  });

  test("is held to a signed summary once that is wanted", async () => {
    await world.ok("remote", "modify", REMOTE, "--gpg-verify-summary");
    expect(await remotes()).toMatchObject([{ name: REMOTE, verification: ["gpg"], verifiesSummary: true }]);
    await world.failing(["upgrade"], { code: "VerificationFailed", message: new RegExp(`cannot pull ${REMOTE}:${ref}: `) });
    await sh(`ostree summary --repo=${UPSTREAM} --update --gpg-sign=publisher@example.org --gpg-homedir=${KEYS}/publisher`);
    expect(await world.ok("upgrade")).toMatch(/Everything is up to date/);
    await world.ok("remote", "modify", REMOTE, "--no-gpg-verify-summary");
  });

  test("keeps what is not to change when it is modified, and stays as it is while it is pulled from", async () => {
    await refused(["remote", "modify", REMOTE], 2, /no option says what is to change/);
    await world.ok("remote", "modify", REMOTE, "--branch", ref, "--url", `${web.url}/`);
    expect(await remotes()).toMatchObject([{ name: REMOTE, url: `${web.url}/`, verification: ["gpg"], branches: [ref] }]);
    expect(await sh(`ls /sysroot/ostree/repo/${REMOTE}.trustedkeys.gpg`)).not.toBe("");

    // A summary that has not changed is not asked for again, but its signature is.
    for (const path of ["/summary", "/summary.sig"]) web.fault(path, { kind: "silent" });
    const asked = web.requests.length;
    const id = await world.submit("upgrade");
    await expect.poll(() => web.requests.slice(asked).filter(({ path }) => path.startsWith("/summary")).length).toBeGreaterThan(0);
    await refused(["remote", "modify", REMOTE, "--no-gpg-verify"], 1, /cannot modify remote publisher: something is being pulled from it/);
    await refused(["remote", "delete", REMOTE, "--force"], 1, /cannot delete remote publisher: something is being pulled from it/);
    web.clearFaults();
    await world.cli("cancel", id);
    expect(await world.ended(id)).toMatchObject({ state: "cancelled" });
    expect(await remotes()).toMatchObject([{ verification: ["gpg"] }]);
    await world.ok("upgrade");
    await world.expectClean();
  });

  test("is not deleted while a deployment follows it, unless that is wanted", async () => {
    await refused(["remote", "delete", REMOTE], 1, /cannot delete remote publisher: deployment 0 follows publisher:.*--force/);
    expect(await remotes()).toHaveLength(1);
    await refused(["remote", "delete", "nobody"], 1, /there is none of that name/);
    await world.ok("remote", "delete", REMOTE, "--force");
    expect(await remotes()).toEqual([]);
    expect(await sh(`ls /sysroot/ostree/repo | grep trustedkeys || true`)).toBe("");
    await world.ok("remote", "add", REMOTE, web.url, "--no-gpg-verify");
    expect(await world.ok("remote", "list", "-u")).toMatch(/not verified/);
  });

  test("that cannot be reached fails with DownloadFailed, and changes nothing", async () => {
    await web.close();
    await world.failing(["upgrade"], { code: "DownloadFailed", message: new RegExp(`cannot pull ${REMOTE}:`) });
    await refused(["remote", "refs", REMOTE], 1, /cannot list the refs of publisher: /);
    await world.expectSound();
  });
});
