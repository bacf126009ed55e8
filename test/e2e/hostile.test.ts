/** Packages that try to get out of their sandbox, or whose trees are shaped so that a careless layer would come out wrong. */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DebOptions } from "../harness/debs.ts";
import { World } from "../harness/world.ts";

const evil = (name: string, postinst: string, more: Partial<DebOptions> = {}): DebOptions => ({
  name,
  version: "1",
  files: { [`/usr/share/${name}`]: name },
  scripts: { postinst },
  ...more,
});

/** open_by_handle_at(2) with the inode of the root directory of the disk that a bound directory lies on (x86-64: 304). */
const BY_HANDLE = `perl -e 'open(my $d, "<", "/var/cache/apt/archives") or exit 0;
  my $h = pack("I i L L", 8, 1, 2, 0); my $fd = syscall(304, fileno($d), $h, 0);
  open(my $o, ">", "/usr/share/by-handle"); print $o $fd >= 0 ? "out" : "in"'`;

describe("a package that", () => {
  let world: World;
  let etc: string;
  beforeAll(async () => {
    world = await World.make("e2e-hostile");
    await world.offer(
      evil("handles", BY_HANDLE),
      evil(
        "links",
        "rm -rf /var/lib/ucf; mkdir /var/lib/ucf; echo pwned >/var/lib/ucf/hashfile; mkdir -p /usr/lib/sysimage/var/lib/ucf; ln -sf /etc/victim /usr/lib/sysimage/var/lib/ucf/hashfile",
      ),
      evil(
        "hides",
        "rm -rf /usr/share/doc/bash; mkdir /usr/share/doc/bash; rm /usr/lib/ssl/certs; mkdir /usr/lib/ssl/certs; mv /usr/share/doc/bash /usr/lib/ssl/certs/java",
      ),
      evil("pipes", "mkdir -p /usr/lib/tmpfiles.d; mkfifo /usr/lib/tmpfiles.d/zz.conf"),
      evil(
        "retypes",
        "rm -rf /usr/share/doc/bash; ln -s dash /usr/share/doc/bash; rm /usr/lib/ssl/certs; mkdir /usr/lib/ssl/certs; echo x >/usr/lib/ssl/certs/x",
      ),
      evil("users", "adduser --system --group --quiet --home /var/lib/users newuser; install -d -o newuser -g newuser /var/lib/users"),
      { name: "py.dot-extra", version: "1", files: { "/usr/share/pydot": "x" } },
      { name: "good", version: "1", files: { "/usr/share/good": "good" } },
    );
    etc = join(await world.host.bootedDeployment(), "etc");
  });
  beforeEach(() => world.reset());
  afterAll(() => world?.close());

  test("opens files by handle reaches none outside its sandbox", async () => {
    await world.ok("install", "handles");
    expect(await readFile(join((await world.next()).directory, "usr/share/by-handle"), "utf8")).toBe("in");
  });

  test("plants links where its state is kept writes nothing on the host", async () => {
    await writeFile(join(etc, "victim"), "untouched\n");
    await world.cli("install", "links");
    expect(await readFile(join(etc, "victim"), "utf8")).toBe("untouched\n");
    await world.expectClean();
  });

  test("replaces a directory behind a link of the base removes nothing on the host", async () => {
    await mkdir(join(etc, "ssl/certs/java"), { recursive: true });
    await writeFile(join(etc, "ssl/certs/java/cacerts"), "keys\n");
    await world.cli("install", "hides");
    expect(await readFile(join(etc, "ssl/certs/java/cacerts"), "utf8")).toBe("keys\n");
    await world.expectSound();
  });

  test("makes a pipe where files are read is refused, and stops nobody else", async () => {
    await world.failing(["install", "pipes"], { code: "LayerInvalid", message: /zz\.conf/ });
    await world.ok("install", "good");
  });

  test("turns a directory of the base into a link, and a link into a directory, comes out as it made it", async () => {
    await world.ok("install", "retypes");
    const { directory } = await world.next();
    expect(
      (await world.host.exec("readlink", [join("/sysroot", directory.slice(world.host.layout.sysroot.length), "usr/share/doc/bash")])).stdout,
    ).toBe("dash\n");
    expect(await readFile(join(directory, "usr/lib/ssl/certs/x"), "utf8")).toBe("x\n");
    await world.expectSound();
  });

  test("is not named is not installed, however much its name looks like a pattern", async () => {
    await world.failing(["install", "py.dot"], { code: "UnknownPackage", message: /py\.dot/ });
  });

  test("adds a user brings it to a host whose /etc/passwd has been edited", async () => {
    await writeFile(join(etc, "passwd"), `${await readFile(join(etc, "passwd"), "utf8")}local:x:1000:1000::/home/local:/bin/sh\n`);
    await world.ok("install", "users");
    await world.host.reboot();
    expect((await world.host.exec("id", ["-un", "newuser"])).stdout).toBe("newuser\n");
    expect((await world.host.exec("stat", ["-c", "%U", "/var/lib/users"])).stdout).toBe("newuser\n");
    expect((await world.host.exec("id", ["-un", "local"])).stdout).toBe("local\n");
    expect(existsSync(join(await world.host.bootedDeployment(), "usr/lib/sysusers.d/apt-ostree-layer.conf"))).toBe(true);
  });
});
