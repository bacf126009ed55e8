/** Where what packages write ends on a booted host: /var, /opt, /usr/local, the top of the tree, and what may not be in a commit at all. */
import { existsSync } from "node:fs";
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DebOptions } from "../harness/debs.ts";
import { World } from "../harness/world.ts";

const package_ = (name: string, postinst: string, more: Partial<DebOptions> = {}): DebOptions => ({
  name,
  version: "1",
  files: { [`/usr/share/${name}`]: name },
  scripts: { postinst },
  ...more,
});

/** A module's bytecode with the time of its source in the header (PEP 552). */
const BYTECODE = Buffer.from([0xf3, 0x0d, 0x0d, 0x0a, 0, 0, 0, 0, 1, 2, 3, 4, 9, 0, 0, 0, 42]);
const KEY = "-----BEGIN PRIVATE KEY-----";

/** Each test installs and boots several times. */
const LONG_MS = 300_000;

describe("what a package puts", { timeout: LONG_MS }, () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-paths");
  });
  beforeEach(() => world.reset());
  afterAll(() => world?.close());

  const sh = async (script: string): Promise<string> => (await world.host.exec("sh", ["-c", script])).stdout;
  /** What the last installation said. */
  let said = "";
  async function install(...packages: readonly DebOptions[]): Promise<string> {
    await world.offer(...packages);
    const { status, stdout, stderr } = await world.cli("install", ...packages.map(({ name }) => name));
    said = stdout + stderr;
    expect(status, said).toBe(0);
    await world.expectClean();
    return (await world.next()).directory;
  }

  test("below /var where nobody knows what it is, is refused by name", async () => {
    await world.offer(package_("strange", "mkdir /var/strange; echo x > /var/strange/file"));
    await world.failing(["install", "strange"], {
      code: "LayerInvalid",
      message: /\/var\/strange/,
      details: { paths: ["/var/strange", "/var/strange/file"] },
    });
  });

  test("below /opt and /usr/local is there after the boot, follows an upgrade and a rollback, and dpkg knows it", async () => {
    const program = (version: string): DebOptions => ({
      name: "program",
      version,
      files: { "/opt/program/bin/tool": `#!/bin/sh\necho opt ${version}\n`, "/usr/local/bin/local-tool": `#!/bin/sh\necho local ${version}\n` },
      scripts: { postinst: "mkdir -p /usr/local/share/program; chmod 2775 /usr/local/share/program; chgrp staff /usr/local/share/program" },
    });
    await install(program("1"));
    await world.reboot();
    expect(await sh("/opt/program/bin/tool; /usr/local/bin/local-tool")).toBe("opt 1\nlocal 1\n");
    expect(await sh("dpkg -S /opt/program/bin/tool; for path in $(dpkg -L program); do [ -e $path ] || echo missing $path; done")).toBe(
      "program: /opt/program/bin/tool\n",
    );
    expect(await sh("stat -c '%a %G' /usr/local/share/program; echo mine > /usr/local/share/program/mine")).toBe("2775 staff\n");
    await world.offer(program("2"));
    await world.ok("upgrade");
    await world.reboot();
    expect(await sh("/opt/program/bin/tool; /usr/local/bin/local-tool; cat /usr/local/share/program/mine")).toBe("opt 2\nlocal 2\nmine\n");
    await world.ok("rollback");
    await world.reboot();
    expect(await sh("/opt/program/bin/tool; /usr/local/bin/local-tool")).toBe("opt 1\nlocal 1\n");
  });

  test("into /root, /srv, /mnt and a directory at the top is there after the boot", async () => {
    await install(
      package_(
        "homes",
        "echo r > /root/.homes; mkdir /srv/homes /mnt/homes; echo s > /srv/homes/file; mkdir -p /root/.cache/homes; echo c > /root/.cache/homes/file",
        {
          files: { "/top/file": "top\n" },
        },
      ),
    );
    await world.reboot();
    expect(await sh("cat /root/.homes /srv/homes/file /top/file; ls -d /mnt/homes; ls /root/.cache/homes")).toBe("r\ns\ntop\n/mnt/homes\n");
    await world.expectSound();
  });

  test("into a file of /var follows the tree where the package ships it, and is the host's where a script made it", async () => {
    const data = (version: string): DebOptions => ({
      name: "data",
      version,
      files: { "/var/lib/data/table": `table ${version}\n` },
      scripts: {
        postinst: `echo made ${version} > /var/lib/data/made; mkfifo /var/lib/data/pipe; echo said > /var/log/data.log; chown 7:9 /var/log/data.log`,
      },
    });
    await install(data("1"));
    await world.reboot();
    expect(await sh("cat /var/lib/data/table /var/lib/data/made; stat -c '%F %s %u:%g' /var/log/data.log; stat -c %F /var/lib/data/pipe")).toBe(
      "table 1\nmade 1\nregular empty file 0 7:9\nfifo\n",
    );
    await sh("echo mine > /var/lib/data/made; chmod 600 /var/lib/data/made; chmod 711 /var/lib/data; chown 9:7 /var/log/data.log");
    await world.offer(data("2"));
    await world.ok("upgrade");
    await world.reboot();
    expect(await sh("cat /var/lib/data/table /var/lib/data/made; stat -c '%a %u:%g' /var/lib/data/made /var/lib/data /var/log/data.log")).toBe(
      "table 2\nmine\n600 0:0\n711 0:0\n644 9:7\n",
    );
  });

  test("into dpkg's and apt's databases changes and rolls back with the deployment: alternatives, diversions, overrides, marks", async () => {
    const directory = await install(
      package_(
        "state",
        `update-alternatives --install /usr/bin/chosen chosen /usr/share/state 10
         dpkg-divert --package state --add --rename --divert /usr/bin/factor.distrib /usr/bin/factor
         dpkg-statoverride --update --add root mail 2750 /usr/share/state`,
        { depends: "helper" },
      ),
      { name: "helper", version: "1", files: { "/usr/share/helper": "h" } },
    );
    expect(await readFile(join(directory, "usr/lib/sysimage/var/lib/apt/extended_states"), "utf8")).not.toContain("Package: helper");
    await world.reboot();
    const look =
      "readlink /etc/alternatives/chosen; dpkg-divert --list state; dpkg-statoverride --list /usr/share/state; dpkg -s state 2>&1 | grep ^Status";
    expect(await sh(look)).toBe(
      "/usr/share/state\ndiversion of /usr/bin/factor to /usr/bin/factor.distrib by state\nroot mail 2750 /usr/share/state\nStatus: install ok installed\n",
    );
    await world.ok("rollback");
    await world.reboot();
    expect(await sh(`${look} || true`)).toBe("");
  });

  test("beside a configuration file of the base is told and left out", async () => {
    const directory = await install(package_("left", "echo new > /etc/debian_version.dpkg-dist; mkdir /etc/left; echo old > /etc/left/x.ucf-old"));
    expect(existsSync(join(directory, "usr/etc/debian_version.dpkg-dist"))).toBe(false);
    expect(await readdir(join(directory, "usr/etc/left"))).toEqual([]);
    expect(said).toContain("/etc/debian_version.dpkg-dist");
    expect(said).toContain("/etc/left/x.ucf-old");
  });

  test("into bytecode fits a checkout, where every source has the time 0", async () => {
    const directory = await install({
      name: "module",
      version: "1",
      files: { "/usr/lib/module/x.pyc": BYTECODE, "/opt/module/x.pyc": BYTECODE, "/usr/lib/module/x.py": "x\n" },
    });
    for (const path of ["usr/lib/module/x.pyc", "usr/lib/opt/module/x.pyc"])
      expect([...(await readFile(join(directory, path))).subarray(4, 16)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
  });

  test("in place of a secret of the host is not in the commit, is made at the boot, and stays with the host", async () => {
    const directory = await install({
      name: "keys",
      version: "1",
      files: {
        "/usr/bin/ssh-keygen": `#!/bin/sh\ncd /etc/ssh; [ -e ssh_host_ed25519_key ] || { echo "${KEY}"; cat /proc/sys/kernel/random/uuid; } > ssh_host_ed25519_key; echo p > ssh_host_ed25519_key.pub\n`,
        "/etc/keys/shipped.pem": `${KEY}\n`,
      },
      scripts: {
        postinst: `mkdir -p /etc/ssh; ssh-keygen -A; ln -s ssh_host_ed25519_key.pub /etc/ssh/0123abcd.0
          ln -s /etc/ssh/ssh_host_ed25519_key.pub /etc/keys/configured.pub
          echo "${KEY}" > /etc/keys/made.pem; echo 0123 > /etc/machine-id; mkdir -p /var/lib/dbus; rm -f /var/lib/dbus/machine-id; echo 0123 > /var/lib/dbus/machine-id`,
      },
    });
    expect(await readdir(join(directory, "usr/etc/ssh"))).toEqual(["ssh_config.d"]);
    expect(await readlink(join(directory, "usr/etc/keys/configured.pub"))).toBe("/etc/ssh/ssh_host_ed25519_key.pub");
    expect(await readFile(join(directory, "usr/etc/machine-id"), "utf8")).toBe("");
    expect(existsSync(join(directory, "usr/share/factory/var/lib/dbus/machine-id"))).toBe(false);
    expect(said.split("\n").filter((line) => line.includes("private key"))).toEqual([expect.stringContaining("/etc/keys/made.pem")]);
    await world.reboot();
    const key = await sh("cat /etc/ssh/ssh_host_ed25519_key");
    expect(key).toMatch(/KEY-----\n[0-9a-f-]{36}\n$/);
    await world.ok("uninstall", "keys");
    await world.reboot();
    expect(await sh("cat /etc/ssh/ssh_host_ed25519_key")).toBe(key);
  });
});
