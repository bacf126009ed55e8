/** Maintainer scripts that go wrong: each ends in a typed error, with the old state intact and nothing left of it. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DebOptions } from "../harness/debs.ts";
import { World } from "../harness/world.ts";

const INSTALL_TIMEOUT_SECONDS = 8;
const bad = (name: string, postinst: string, more: Partial<DebOptions> = {}): DebOptions => ({
  name,
  version: "1",
  files: { [`/usr/share/${name}`]: name },
  scripts: { postinst },
  ...more,
});

describe("a maintainer script that", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-scripts", { config: { installTimeoutSeconds: INSTALL_TIMEOUT_SECONDS } });
    await world.offer(
      { name: "good", version: "1", files: { "/usr/share/good": "good" } },
      bad("fails", "echo it is broken >&2; exit 3"),
      bad("fails-early", "true", { scripts: { preinst: "exit 4" } }),
      bad("hangs", "exec sleep 4321"),
      bad("stubborn", "trap '' TERM INT HUP; while :; do sleep 4322; done"),
      bad("kills", "kill -9 -1"),
      bad("boots", "mkdir -p /boot/x; echo y > /boot/x/vmlinuz"),
      bad("pipes", "mkfifo /usr/share/a-pipe"),
      bad("devices", "mknod /usr/share/a-device c 1 3"),
      bad(
        "sockets",
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/usr/share/a-socket\")' || perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"/usr/share/a-socket\", Listen => 1) or die'",
      ),
      bad("tops", "echo x > /file-at-the-top"),
      bad("daemonizes", "setsid sleep 4323 >/dev/null 2>&1 </dev/null & "),
      bad("destroys", "rm -rf --no-preserve-root / 2>/dev/null || true"),
    );
  });
  beforeEach(() => world.reset());
  afterAll(() => world?.close());

  test("fails is named with its package and its status", async () => {
    await world.failing(["install", "fails"], {
      code: "ScriptFailed",
      message: /fails.*post-installation script subprocess returned error exit status 3/,
      details: { packages: ["fails"] },
    });
    await world.failing(["install", "fails-early"], { code: "ScriptFailed", message: /fails-early.*pre-installation script.*status 4/ });
  });

  test("hangs is ended when its time is up", async () => {
    const startMs = Date.now();
    await world.failing(["install", "hangs"], { code: "Timeout", message: /took longer than 8 s/ });
    expect(Date.now() - startMs).toBeLessThan((INSTALL_TIMEOUT_SECONDS + 120) * 1000);
  });

  test("ignores every signal is ended by a cancel all the same", async () => {
    const before = await world.state();
    const id = await world.submit("install", "stubborn");
    await world.untilRuns("sleep 4322");
    expect((await world.cli("cancel", id)).status).toBe(0);
    expect((await world.ended(id)).state).toBe("cancelled");
    await world.expectUnchanged(before);
  });

  test("kills everything it can see ends its own sandbox and no more", async () => {
    await world.failing(["install", "kills"], { code: "ScriptFailed", message: /cannot assemble the tree/ });
  });

  test("writes to /boot is refused by path", async () => {
    await world.failing(["install", "boots"], { code: "LayerInvalid", message: /\/boot\/x/, details: { paths: ["/boot/x/vmlinuz"] } });
  });

  test("makes a pipe, a socket or a file at the top of the tree is refused by path", async () => {
    await world.failing(["install", "pipes"], { code: "LayerInvalid", message: /\/usr\/share\/a-pipe/ });
    await world.failing(["install", "sockets"], { code: "LayerInvalid", message: /\/usr\/share\/a-socket/ });
    await world.failing(["install", "tops"], { code: "LayerInvalid", message: /\/file-at-the-top/ });
  });

  test("makes a device cannot", async () => {
    await world.failing(["install", "devices"], { code: "ScriptFailed", message: /devices/ });
  });

  test("leaves a process behind leaves it in the sandbox, which ends with apt", async () => {
    await world.ok("install", "daemonizes");
    await sleep(200);
    await world.expectClean();
  });

  test("removes everything removes nothing outside: the host, its caches and the next installation are as before", async () => {
    const before = await world.state();
    const { status } = await world.cli("install", "destroys");
    expect(status).toBe(1);
    await world.expectUnchanged(before);
    await world.expectSound();
    await world.ok("install", "good");
    await world.expectSound();
  });
});
