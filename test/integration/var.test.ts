/** Emptying a /var into a tree, with real files. */
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { captureVar } from "../../src/engines/var.ts";

const FILES = { state: "usr/lib/tmpfiles.d/00-state.conf", rest: "usr/lib/tmpfiles.d/rest.conf" };

describe("emptying a /var", () => {
  let directory: string;
  const at = (path: string): string => join(directory, path);
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "var-"));
    await write("base/usr/etc/passwd", "root:x:0:0::/root:/bin/sh\nservice:x:123:124::/:/bin/false\n");
    await write("base/usr/etc/group", "root:x:0:\nservice:x:124:\n");
    await mkdir(at("var"));
    await mkdir(at("root"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  async function write(path: string, content: string): Promise<void> {
    await mkdir(dirname(at(path)), { recursive: true });
    await writeFile(at(path), content, { mode: 0o644 });
  }

  const capture = (): Promise<void> =>
    captureVar({ var: at("var"), root: at("root"), base: at("base"), etc: "usr/etc", files: FILES, doing: "commit the layer" });
  const linesOf = async (path: string): Promise<string[]> =>
    (await readFile(at(`root/${path}`), "utf8")).split("\n").filter((line) => line !== "" && !line.startsWith("#"));

  it("names every path that no rule covers, and only those", async () => {
    await write("var/strange/file", "x");
    await write("var/lib/fine", "x");
    await expect(capture()).rejects.toMatchObject({
      code: "LayerInvalid",
      message: "cannot commit the layer: it is not known what should become of /var/strange, /var/strange/file",
      details: { paths: ["/var/strange", "/var/strange/file"] },
    });
  });

  it("moves state with all that is in it, empty directories too, and takes neighbours of a similar name for themselves", async () => {
    await write("var/lib/pam/auth", "a");
    await mkdir(at("var/lib/pam/empty"));
    await write("var/lib/pam-x/file", "x");
    await mkdir(at("var/lib/ucf"));
    await capture();
    expect(await readdir(at("root/usr/lib/sysimage/var/lib"))).toEqual(["pam", "ucf"]);
    expect((await lstat(at("root/usr/lib/sysimage/var/lib/pam/empty"))).isDirectory()).toBe(true);
    expect(await linesOf(FILES.state)).toEqual([
      "L /var/lib/pam - - - - ../../usr/lib/sysimage/var/lib/pam",
      "L /var/lib/ucf - - - - ../../usr/lib/sysimage/var/lib/ucf",
    ]);
    expect(await linesOf(FILES.rest)).toContain("C /var/lib/pam-x/file - - - - /usr/share/factory/var/lib/pam-x/file");
  });

  it("puts a state file that a program replaced in the place of the one that its link led to", async () => {
    await write("root/usr/lib/sysimage/var/lib/shells.state", "old");
    await write("var/lib/shells.state", "new");
    await write("base/usr/lib/tmpfiles.d/00-apt-ostree.conf", "L /var/lib/shells.state - - - - x\n");
    await capture();
    expect(await readFile(at("root/usr/lib/sysimage/var/lib/shells.state"), "utf8")).toBe("new");
  });

  it("names owners, makes logs empty, keeps pipes and leaves sockets, caches and what is declared already", async () => {
    await write("var/log/service.log", "much was said\n");
    await write("var/cache/service/x", "x");
    await write("var/lib/declared/mine", "x");
    await write("root/usr/lib/tmpfiles.d/service.conf", "d /var/lib/declared 0700 service service -\n");
    await chown(at("var/log/service.log"), 123, 124);
    await exec("mkfifo", ["-m", "640", at("var/lib/pipe")]);
    await symlink("declared", at("var/lib/link"));
    await capture();
    const lines = await linesOf(FILES.rest);
    expect(lines.filter((line) => !/^d \/var\/(lib|log|cache) /.test(line))).toEqual([
      "d /var/cache/service 0755 root root - -",
      "C /var/lib/declared/mine - - - - /usr/share/factory/var/lib/declared/mine",
      "L /var/lib/link - - - - declared",
      "p /var/lib/pipe 0640 root root - -",
      "f /var/log/service.log 0644 service service - -",
    ]);
  });

  it("links what packages ship and replace, and copies their configuration files and what they generate", async () => {
    await write("root/usr/lib/sysimage/dpkg/info/one.list", "/.\n/var/lib/one/table\n/var/lib/one/conf\n");
    await write("root/usr/lib/sysimage/dpkg/status", `Package: one\nConffiles:\n /var/lib/one/conf ${"0".repeat(32)}\n`);
    for (const name of ["table", "conf", "made"]) await write(`var/lib/one/${name}`, name);
    await capture();
    expect(await linesOf(FILES.state)).toEqual(["L /var/lib/one/table - - - - ../../../usr/lib/sysimage/var/lib/one/table"]);
    expect((await linesOf(FILES.rest)).filter((line) => line.startsWith("C"))).toEqual([
      "C /var/lib/one/conf - - - - /usr/share/factory/var/lib/one/conf",
      "C /var/lib/one/made - - - - /usr/share/factory/var/lib/one/made",
    ]);
  });

  it("takes a service's directory as one piece, without what is left out everywhere", async () => {
    for (const name of ["data", ".erlang.cookie", "sub/service.lock", "sub/pid"]) await write(`var/lib/rabbitmq/${name}`, name);
    await exec("chown", ["-R", "123:124", at("var/lib/rabbitmq")]);
    await capture();
    const { stdout } = await exec("find", [at("root/usr/share/factory/var/lib/rabbitmq"), "-type", "f", "-printf", "%P\n"]);
    expect(stdout.trim().split("\n").sort()).toEqual(["data", "sub/service.lock"]);
    expect((await linesOf(FILES.rest)).filter((line) => line.startsWith("C"))).toEqual([
      "C /var/lib/rabbitmq - - - - /usr/share/factory/var/lib/rabbitmq",
    ]);
  });

  it("leaves modes and owners that were changed on the host, where the tree's systemd can", async () => {
    await write(
      "root/usr/lib/sysimage/dpkg/status",
      "Package: other\nVersion: 1\n\nPackage: systemd\nStatus: install ok installed\nVersion: 257.8-1\n",
    );
    await write("var/lib/one/made", "x");
    await capture();
    expect(await linesOf(FILES.rest)).toEqual([
      "d /var/lib :0755 :root :root - -",
      "d /var/lib/one :0755 :root :root - -",
      "C /var/lib/one/made - - - - /usr/share/factory/var/lib/one/made",
    ]);
  });

  it("copies a service's own directory whole, so that a boot does not add files to one that is in use", async () => {
    await write("var/lib/service/17/main/base/1", "x");
    await write("var/lib/service/17/main/VERSION", "17");
    await exec("mkfifo", [at("var/lib/service/17/main/pipe")]);
    await exec("chown", ["-R", "123:124", at("var/lib/service")]);
    await capture();
    expect(await linesOf(FILES.rest)).toEqual([
      "d /var/lib 0755 root root - -",
      "d /var/lib/service 0755 service service - -",
      "d /var/lib/service/17 0755 service service - -",
      "C /var/lib/service/17/main - - - - /usr/share/factory/var/lib/service/17/main",
    ]);
    const factory = at("root/usr/share/factory/var/lib/service/17/main");
    expect(await readdir(factory)).toEqual(["VERSION", "base"]);
    expect(await lstat(join(factory, "base/1"))).toMatchObject({ uid: 123, gid: 124 });
  });

  it("moves software in /opt as a whole but for a service's data, and files in /usr/local one by one, modes and all", async () => {
    await write("var/opt/whole/bin/tool", "tool");
    await chmod(at("var/opt/whole/bin/tool"), 0o4755);
    await write("var/opt/mixed/bin/tool", "tool");
    await write("var/opt/mixed/data/x", "x");
    for (const path of ["data", "data/x"]) await chown(at(`var/opt/mixed/${path}`), 123, 124);
    await write("var/usrlocal/bin/tool", "tool");
    await capture();
    expect((await lstat(at("root/usr/lib/opt/whole/bin/tool"))).mode & 0o7777).toBe(0o4755);
    expect((await linesOf(FILES.rest)).filter((line) => /mixed|whole|usrlocal\/bin/.test(line))).toEqual([
      "d /var/opt/mixed 0755 root root - -",
      "L /var/opt/mixed/bin - - - - ../../../usr/lib/opt/mixed/bin",
      "C /var/opt/mixed/data - - - - /usr/share/factory/var/opt/mixed/data",
      "L /var/opt/whole - - - - ../../usr/lib/opt/whole",
      "d /var/usrlocal/bin 0755 root root - -",
      "L /var/usrlocal/bin/tool - - - - ../../../usr/lib/usrlocal/bin/tool",
    ]);
  });
});
