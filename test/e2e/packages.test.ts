/** What packages may contain and do: a layered deployment holds it as apt and dpkg would have put it there. */
import { lstat, mkdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import type { DebOptions } from "../harness/debs.ts";
import { World } from "../harness/world.ts";

/** cap_net_bind_service=ep, as the kernel keeps it (capabilities(7), vfs_cap_data version 2). */
const CAPABILITY = "0x0100000200040000000000000000000000000000";

describe("a package", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.make("e2e-packages");
  });
  beforeEach(() => world.reset());
  afterAll(() => world?.close());

  /** Builds a package whose tree a shell script fills, for what `makeDeb` cannot make. */
  async function debOf(name: string, fill: string, scripts: Readonly<Record<string, string>> = {}): Promise<string> {
    const tree = join(world.host.layout.directory, `tree-${name}`);
    await mkdir(join(tree, "DEBIAN"), { recursive: true });
    await writeFile(join(tree, "DEBIAN/control"), `Package: ${name}\nVersion: 1\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: t\n`);
    for (const [script, text] of Object.entries(scripts))
      await writeFile(join(tree, "DEBIAN", script), `#!/bin/sh\nset -e\n${text}\n`, { mode: 0o755 });
    await exec("sh", ["-c", `set -e; umask 022; chmod 755 .; ${fill}`], { cwd: tree });
    const deb = join(world.host.layout.directory, `${name}_1_all.deb`);
    await exec("dpkg-deb", ["--root-owner-group", "-Znone", "--build", tree, deb]);
    return deb;
  }

  async function install(name: string, one: DebOptions | string): Promise<string> {
    await world.offer(one);
    await world.ok("install", name);
    await world.expectClean();
    return (await world.next()).directory;
  }

  test("keeps setuid bits, modes, owners, hardlinks, symlinks and file capabilities", async () => {
    const deb = await debOf(
      "modes",
      `mkdir -p usr/bin usr/share/modes; echo a > usr/bin/suid; chmod 4755 usr/bin/suid; echo b > usr/share/modes/one; ln usr/share/modes/one usr/share/modes/two
       ln -s one usr/share/modes/link; ln -s /nowhere usr/share/modes/dangling; echo c > usr/share/modes/secret; chmod 600 usr/share/modes/secret
       mkdir usr/share/modes/sticky; chmod 1777 usr/share/modes/sticky; echo d > usr/bin/capable; chmod 755 usr/bin/capable`,
      { postinst: `setfattr -n security.capability -v ${CAPABILITY} /usr/bin/capable; chown 7:9 /usr/share/modes/secret` },
    );
    const root = await install("modes", deb);
    const modeOf = async (path: string): Promise<string> => ((await lstat(join(root, path))).mode & 0o7777).toString(8);
    expect(await modeOf("usr/bin/suid")).toBe("4755");
    expect(await modeOf("usr/share/modes/sticky")).toBe("1777");
    expect(await lstat(join(root, "usr/share/modes/secret"))).toMatchObject({ uid: 7, gid: 9 });
    expect(await modeOf("usr/share/modes/secret")).toBe("600");
    expect(await readlink(join(root, "usr/share/modes/link"))).toBe("one");
    expect(await readlink(join(root, "usr/share/modes/dangling"))).toBe("/nowhere");
    const [one, two] = await Promise.all(["one", "two"].map((name) => stat(join(root, "usr/share/modes", name))));
    expect(one?.ino).toBe(two?.ino);
    const { stdout } = await exec("getfattr", ["-n", "security.capability", "-e", "hex", "--absolute-names", join(root, "usr/bin/capable")]);
    expect(stdout).toContain(CAPABILITY);
    const { stdout: foreign } = await exec("getfattr", [
      "-R",
      "-h",
      "-m",
      "^(trusted|user)\\.",
      "--absolute-names",
      join(root, "usr/share/modes"),
      join(root, "usr/bin"),
    ]);
    expect(foreign).not.toContain("trusted.overlay");
    await world.expectSound();
  });

  test("may have names with blanks, quotes, backslashes and letters of any language", async () => {
    const names = ["with blank", "näme ☃", 'quo"te', "apo'strophe", "back\\slash", "percent%d", "-dash", "日本語"];
    const make = names
      .map((name) => `mkdir -p "usr/share/odd/${shell(name)} d"; echo x > "usr/share/odd/${shell(name)} d/${shell(name)}"`)
      .join("\n");
    const inVar = names
      .map((name) => `mkdir -p "/var/lib/odd/${shell(name)}"; echo "${shell(name)}" > "/var/lib/odd/${shell(name)}/file"`)
      .join("\n");
    const root = await install("odd", await debOf("odd", make, { postinst: inVar }));
    for (const name of names) expect(await readFile(join(root, "usr/share/odd", `${name} d`, name), "utf8")).toBe("x\n");
    await world.host.reboot();
    for (const name of names) expect((await world.host.exec("cat", [`/var/lib/odd/${name}/file`])).stdout).toBe(`${name}\n`);
    await world.expectSound();
  });

  test("may divert a file of the base, remove one and replace a directory: the deployment shows that and the base's tree does not", async () => {
    const booted = await world.host.bootedDeployment();
    const deb = await debOf("replacer", "mkdir -p usr/share/replacer; echo x > usr/share/replacer/x", {
      preinst: "dpkg-divert --package replacer --add --rename --divert /usr/bin/factor.distrib /usr/bin/factor",
      postinst: `rm /usr/bin/tsort; rm -r /usr/share/dpkg; mkdir /usr/share/dpkg; echo new > /usr/share/dpkg/new
        rm -r /usr/share/tabset /usr/lib/sysctl.d 2>/dev/null || true; echo file > /usr/lib/sysctl.d; rm /usr/bin/env; mkdir /usr/bin/env; echo in > /usr/bin/env/in`,
    });
    const root = await install("replacer", deb);
    const there = async (path: string): Promise<boolean> => (await lstat(join(root, path)).catch(() => null)) !== null;
    expect(await there("usr/bin/factor")).toBe(false);
    expect(await there("usr/bin/factor.distrib")).toBe(true);
    expect(await there("usr/bin/tsort")).toBe(false);
    expect((await exec("ls", [join(root, "usr/share/dpkg")])).stdout).toBe("new\n");
    expect(await readFile(join(root, "usr/lib/sysctl.d"), "utf8")).toBe("file\n");
    expect(await readFile(join(root, "usr/bin/env/in"), "utf8")).toBe("in\n");
    expect((await lstat(join(booted, "usr/bin/env"))).isFile()).toBe(true);
    expect((await lstat(join(booted, "usr/bin/tsort"))).isFile()).toBe(true);
    await world.expectSound();
  });

  test("has its data under /var and /opt after the next boot, and what became of them is not overwritten later", async () => {
    const one: DebOptions = {
      name: "data",
      version: "1",
      files: { "/var/lib/data/shipped": "shipped 1\n", "/opt/data/program": "program 1\n", "/etc/data.conf": "conf\n", "/usr/share/data": "1" },
      conffiles: ["/etc/data.conf"],
      scripts: {
        postinst:
          "echo generated 1 > /var/lib/data/generated; chmod 600 /var/lib/data/generated; chown 7:9 /var/lib/data/generated; mkdir -p /var/cache/data /var/log/data; echo c > /var/cache/data/c; ln -s shipped /var/lib/data/link",
      },
    };
    await install("data", one);
    expect((await world.host.exec("sh", ["-c", "ls -d /var/lib/data /opt/data 2>/dev/null || true"])).stdout).toBe("");
    await world.host.reboot();
    const all = ["/var/lib/data/shipped", "/opt/data/program", "/var/lib/data/generated", "/etc/data.conf", "/var/lib/data/link"];
    expect((await world.host.exec("cat", all)).stdout).toBe("shipped 1\nprogram 1\ngenerated 1\nconf\nshipped 1\n");
    expect((await world.host.exec("stat", ["-c", "%a %u:%g", "/var/lib/data/generated", "/var/cache/data"])).stdout).toBe("600 7:9\n755 0:0\n");
    await world.host.exec("sh", ["-c", "echo mine > /var/lib/data/generated; rm /var/lib/data/link; echo no-link > /var/lib/data/link"]);
    await world.offer(one, { name: "other", version: "1", files: { "/usr/share/other": "o" } });
    await world.ok("install", "other");
    await world.host.reboot();
    expect((await world.host.exec("cat", ["/var/lib/data/generated", "/var/lib/data/link", "/usr/share/other"])).stdout).toBe("mine\nno-link\no");
    await world.ok("uninstall", "data", "other");
    await world.host.reboot();
    expect((await world.host.exec("cat", ["/var/lib/data/generated"])).stdout).toBe("mine\n");
  });

  test("may create its system user, and its files in /usr belong to it", async () => {
    await install("account", {
      name: "account",
      version: "1",
      files: { "/usr/lib/sysusers.d/account.conf": 'u account - "Account" /var/lib/account\n', "/usr/share/account/file": "a\n" },
      scripts: {
        postinst:
          "systemd-sysusers account.conf; chown account:account /usr/share/account/file; mkdir -p /var/lib/account; chown account: /var/lib/account",
      },
    });
    await world.host.reboot();
    expect((await world.host.exec("stat", ["-c", "%U:%G", "/usr/share/account/file", "/var/lib/account"])).stdout).toBe(
      "account:account\naccount:account\n",
    );
  });

  test("with a name that is not UTF-8 is refused by name, because ostree cannot hold it", async () => {
    const deb = await debOf("latin", "mkdir -p usr/share/latin; echo x > usr/share/latin/$(printf 'caf\\351')");
    await world.offer(deb);
    await world.failing(["install", "latin"], { code: "LayerInvalid", message: /\/usr\/share\/latin\/caf.* not UTF-8/ });
  });

  test("sees in its scripts no network, no process and no file of the host", async () => {
    const port = new URL(world.mirror.url).port;
    await world.host.exec("sh", ["-c", "echo secret > /var/secret; echo secret > /run/secret"]);
    const probe = `
      { ls /proc | grep -c '^[0-9]' ; } > /usr/share/probe/processes
      cat /proc/1/cmdline | tr '\\0' ' ' > /usr/share/probe/first
      tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' > /usr/share/probe/net
      if bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port}' 2>/dev/null; then echo reached; else echo none; fi > /usr/share/probe/connect
      for f in /var/secret /run/secret /sysroot/ostree/repo/config /run/sandbox/bus /proc/1/root/sysroot/ostree/repo; do [ -e $f ] && echo $f; done > /usr/share/probe/files || true
      mount -t tmpfs none /mnt 2>/dev/null && echo mounted > /usr/share/probe/mounted || true
      mknod /usr/share/probe/disk b 8 0 2>/dev/null && echo made > /usr/share/probe/made || true
      for f in kernel/panic vm/swappiness; do v=$(cat /proc/sys/$f); echo $v 2>/dev/null > /proc/sys/$f && echo set > /usr/share/probe/sysctl || true; done
      hostname changed 2>/dev/null && echo renamed > /usr/share/probe/renamed || true`;
    const root = await install("probe", { name: "probe", version: "1", files: { "/usr/share/probe/x": "x" }, scripts: { postinst: probe } });
    const read = (name: string): Promise<string> => readFile(join(root, "usr/share/probe", name), "utf8");
    expect(Number(await read("processes"))).toBeLessThan(12);
    expect((await read("net")).trim()).toBe("lo");
    expect(await read("connect")).toBe("none\n");
    expect(await read("files")).toBe("");
    expect(
      (await exec("ls", [join(root, "usr/share/probe")])).stdout
        .split("\n")
        .filter((n) => n !== "")
        .sort(),
    ).toEqual(["connect", "files", "first", "net", "processes", "x"]);
  });
});

/** For a double-quoted word of sh(1). */
function shell(name: string): string {
  return name.replace(/[\\"$`]/g, "\\$&");
}
