/** Maintainer scripts and the network: none unless the request says so, and then nothing of it stays in the tree. */
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { World } from "../harness/world.ts";

const RESOLV_CONF = "nameserver 192.0.2.1\n";

describe("a script that wants the network", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-network");
    const { hostname, port } = new URL(world.mirror.url);
    const connect = `perl -MIO::Socket::INET -e 'exit(IO::Socket::INET->new(PeerAddr => "${hostname}:${port}") ? 0 : 7)'`;
    await world.offer(
      { name: "connects", version: "1", files: { "/usr/share/c": "c" }, scripts: { postinst: `${connect}; cp /etc/resolv.conf /usr/share/seen` } },
      {
        name: "resolves",
        version: "1",
        files: { "/usr/share/r": "r" },
        scripts: { postinst: "echo 'curl: (6) Could not resolve host: example.org' >&2; exit 6" },
      },
    );
    await writeFile(join(await world.host.bootedDeployment(), "etc/resolv.conf"), RESOLV_CONF);
  });
  beforeEach(() => world.reset());
  afterAll(() => world?.close());

  test("has none, and is told how to get it", async () => {
    await world.failing(["install", "connects"], { code: "ScriptFailed", message: /connects.*status 7/ });
    await world.failing(["install", "resolves"], { code: "ScriptFailed", message: /wanted the network.*--script-network.*resolves/ });
  });

  test("has the host's with --script-network, for this one transaction, and the host's resolver is not in the tree", async () => {
    await world.ok("install", "--script-network", "connects");
    const { directory } = await world.next();
    expect(await readFile(join(directory, "usr/share/seen"), "utf8")).toBe(RESOLV_CONF);
    expect(existsSync(join(directory, "usr/etc/resolv.conf"))).toBe(false);
    await world.expectSound();
    await world.ok("cleanup", "--pending");
    await world.failing(["install", "connects"], { code: "ScriptFailed", message: /connects.*status 7/ });
    // With the network it failed for another reason, and the network is no help.
    const { error } = await world.failing(["install", "--script-network", "resolves"], { code: "ScriptFailed", message: /resolves/ });
    expect(error?.message).not.toMatch(/--script-network/);
  });
});
