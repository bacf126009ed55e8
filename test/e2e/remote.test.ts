/** A base that follows a remote: who pulls it, and who does not. */
import { utimes } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testBase } from "../harness/host.ts";
import { World } from "../harness/world.ts";

const UPSTREAM = "/sysroot/upstream";
const REMOTE = "upstream";
const tool = (version: string) => ({ name: "tool", version, files: { "/usr/share/tool": `tool ${version}\n` } });

describe("a base that follows a remote", () => {
  const { ref } = testBase();
  const refspec = `${REMOTE}:${ref}`;
  let world: World;

  beforeAll(async () => {
    world = await World.make("e2e-remote");
    // The repository of upstream has what is deployed, and the booted deployment follows it from now on.
    await sh(`ostree init --repo=${UPSTREAM} --mode=bare
      ostree pull-local --repo=${UPSTREAM} /sysroot/ostree/repo ${ref}
      ostree remote add --repo=/sysroot/ostree/repo --no-sign-verify --no-gpg-verify ${REMOTE} file://${UPSTREAM}
      sed -i 's,^refspec=.*,refspec=${refspec},' /sysroot/ostree/deploy/*/deploy/*.origin`);
    await world.host.killDaemon();
    await world.host.startDaemon();
    await world.offer(tool("1"));
    await world.ok("install", "tool");
  });
  afterAll(() => world?.close());

  async function sh(script: string): Promise<string> {
    return (await world.host.exec("sh", ["-ec", script])).stdout.trim();
  }

  /** Upstream has a new base; its commit. */
  async function publishBase(version: string): Promise<string> {
    return await sh(`d=$(mktemp -d); mkdir -p $d/usr/share; echo ${version} > $d/usr/share/base-version
      ostree commit --repo=${UPSTREAM} --branch=${ref} --base=${ref} --tree=dir=$d --owner-uid=0 --owner-gid=0 \
        --add-metadata-string=version=${version} --add-metadata=ostree.bootable=true --subject=${version}; rm -r $d`);
  }

  /** What the host has of it; empty before the first pull. */
  async function pulled(): Promise<string> {
    return await sh(`ostree rev-parse --repo=/sysroot/ostree/repo ${refspec} 2>/dev/null || true`);
  }

  async function ageLists(): Promise<void> {
    const hourAgo = Date.now() / 1000 - 3600;
    await utimes(join(world.host.layout.stateVar, "lib/apt-ostree/lists/checked"), hourAgo, hourAgo);
  }

  test("is pulled by a bare prefetch, so that the next upgrade finds all of it there", async () => {
    const before = await world.next();
    expect(before.origin.refspec).toBe(refspec);
    const commit = await publishBase("14.1");
    await world.publish(tool("2"));
    await ageLists();
    await world.ok("prefetch");
    expect(await pulled()).toBe(commit);
    expect(world.mirror.count("/pool/main/tool_2_all.deb")).toBe(1);
    expect(await world.next()).toEqual(before);

    await world.ok("upgrade");
    expect(world.mirror.count("/pool/main/tool_2_all.deb")).toBe(1);
    expect(await world.next()).toMatchObject({
      version: "14.1",
      layered: [{ name: "tool", version: "2" }],
      origin: { refspec, baseCommit: commit, requested: ["tool"] },
    });
    await world.expectClean();
    await world.expectSound();
  });

  test("is not pulled by a prefetch whose lists are fresh, nor by one of packages", async () => {
    const before = await pulled();
    const commit = await publishBase("14.2");
    await world.ok("prefetch");
    expect(await pulled()).toBe(before);
    await ageLists();
    await world.ok("prefetch", "tool");
    expect(await pulled()).toBe(before);
    await ageLists();
    await world.ok("prefetch");
    expect(await pulled()).toBe(commit);
  });

  test("is deployed at a version of its history, which leaves to others what they follow", async () => {
    const before = await pulled();
    const older = await publishBase("14.3");
    await publishBase("14.4");
    await world.ok("deploy", "14.3");
    expect(await world.next()).toMatchObject({ version: "14.3", origin: { refspec, baseCommit: older, requested: ["tool"] } });
    expect(await pulled()).toBe(before);
    await world.failing(["deploy", "99"], { code: "NotFound", message: /cannot find 99 in upstream:.*: its newest are 14\.4, 14\.3/ });
    expect(await pulled()).toBe(before);
    await world.ok("upgrade");
    expect((await world.next()).version).toBe("14.4");
    await world.expectSound();
  });

  test("that cannot be reached fails the prefetch, and changes nothing", async () => {
    await sh(`mv ${UPSTREAM} ${UPSTREAM}.away`);
    await ageLists();
    await world.failing(["prefetch"], { code: "DownloadFailed", message: /cannot pull upstream:/ });
    await sh(`mv ${UPSTREAM}.away ${UPSTREAM}`);
    await world.ok("prefetch");
  });
});
