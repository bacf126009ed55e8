/** Packages that try to get out of their sandbox, or whose trees are shaped so that a careless layer would come out wrong. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
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

/** A module of dracut(8), which runs in the tree after all the scripts. */
const MODULE = "/usr/lib/dracut/modules.d/99evil/module-setup.sh";
const moduleDoing = (script: string): string => `check() { return 0; }\ndepends() { :; }\ninstall() { ${script}; }\n`;

const LSB =
  "### BEGIN INIT INFO\n# Provides: serves\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n# Required-Start:\n# Required-Stop:\n### END INIT INFO\n";
const MEMORY_MIB = 256;
const PROCESSES = 200;

/** open_by_handle_at(2) with the inode of the root directory of the disk that a bound directory lies on (x86-64: 304). */
const BY_HANDLE = `perl -e 'open(my $d, "<", "/var/cache/apt/archives") or exit 0;
  my $h = pack("I i L L", 8, 1, 2, 0); my $fd = syscall(304, fileno($d), $h, 0);
  open(my $o, ">", "/usr/share/by-handle"); print $o $fd >= 0 ? "out" : "in"'`;

describe("a package that", () => {
  let world: World;
  let etc: string;
  beforeAll(async () => {
    world = await World.make("e2e-hostile", { config: { scriptMemoryMiB: MEMORY_MIB, scriptProcesses: PROCESSES } });
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
      evil("relinks", "rm -rf /usr/etc; ln -s /etc /usr/etc", { files: { [MODULE]: moduleDoing("echo out >/etc/pwned") } }),
      evil("unmakes", "rm -rf /usr/etc", { files: { [MODULE]: moduleDoing("echo out >/etc/pwned") } }),
      evil("misnames", "touch /usr/share/caf$(printf '\\351').pyc"),
      evil("pipes", "mkdir -p /usr/lib/tmpfiles.d; mkfifo /usr/lib/tmpfiles.d/zz.conf"),
      evil(
        "retypes",
        "rm -rf /usr/share/doc/bash; ln -s dash /usr/share/doc/bash; rm /usr/lib/ssl/certs; mkdir /usr/lib/ssl/certs; echo x >/usr/lib/ssl/certs/x",
      ),
      evil("users", "adduser --system --group --quiet --home /var/lib/users newuser; install -d -o newuser -g newuser /var/lib/users"),
      // A thousand processes at most: where this machine gives no control group, nothing but counting bounds them.
      evil("bombs", "f() { [ $1 = 0 ] && exec sleep 2; f $(($1 - 1)) & f $(($1 - 1)) & wait; }; f 9; true | true"),
      evil("crowds", "for i in $(seq 400); do sleep 30 & done; wait; exit 3"),
      evil("lingers", "setsid sleep 4341 & sleep 4341"),
      evil("hogs", `perl -e 'my $x = "x" x (1024 * 1024 * 1024); print length $x'`),
      evil("hogs-a-bit", `perl -e 'my $x = "x" x (1024 * 1024 * 1024); print length $x' || true`),
      evil("sets", "echo 1 >/proc/sys/kernel/sysrq || true; echo b >/proc/sysrq-trigger || true; sysctl -w kernel.panic=1 2>/dev/null || true"),
      evil("mounts", "mkdir -p /mnt/x /usr/share/m; mount -t tmpfs none /usr/share/m && exit 9; mount -o remount,rw /proc/sys && exit 9; true"),
      evil("talks", "timeout 5 perl -MIO::Socket::INET -e 'exit(IO::Socket::INET->new(PeerAddr => \"127.0.0.1:1\") ? 9 : 0)'"),
      evil("serves", "", {
        files: {
          "/usr/lib/systemd/system/serves.service": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
          "/etc/init.d/serves": `#!/bin/sh\n${LSB}touch /usr/share/started\n`,
        },
        conffiles: ["/etc/init.d/serves"],
        scripts: {
          postinst: `chmod 755 /etc/init.d/serves; systemctl daemon-reload; systemctl start serves; systemctl enable serves
              update-rc.d serves defaults; invoke-rc.d serves start; deb-systemd-invoke start serves.service
              start-stop-daemon --start --exec /usr/bin/touch -- /usr/share/started`,
        },
      }),
      evil("polices", "test -x /usr/sbin/policy-rc.d", { files: { "/usr/sbin/policy-rc.d": "#!/bin/sh\nexit 104\n" } }),
      evil("unpolices", "rm -f /usr/sbin/policy-rc.d"),
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

  test.each(["relinks", "unmakes"])("%s the tree's /etc before dracut runs is refused, and gets no other", async (name) => {
    await world.failing(["install", name], { code: "LayerInvalid", message: /\/usr\/etc/, details: { paths: ["/usr/etc"] } });
    expect(existsSync(join(etc, "pwned"))).toBe(false);
    await world.expectClean();
  });

  test("makes a pipe where files are read is refused, and stops nobody else", async () => {
    await world.failing(["install", "pipes"], { code: "LayerInvalid", message: /zz\.conf/ });
    await world.ok("install", "good");
  });

  test("makes a file whose name is not UTF-8 is refused by path", async () => {
    await world.failing(["install", "misnames"], { code: "LayerInvalid", message: /caf\ufffd\.pyc has a name that is not UTF-8/ });
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

  test("multiplies ends with its sandbox, whether it can be installed or not", async () => {
    const { status, stderr } = await world.cli("install", "bombs");
    if (status !== 0) expect(stderr).toMatch(/more than 200 processes at once/);
    await world.expectClean();
    await world.ok("install", "good");
    await world.expectSound();
  });

  test("needs more processes than it may have is named with the limit and how to raise it", async () => {
    await world.failing(["install", "crowds"], {
      code: "ScriptFailed",
      message: new RegExp(`more than ${PROCESSES} processes at once \\(scriptProcesses in daemon.yaml\\)`),
      details: { limits: ["processes"] },
    });
  });

  test("is under way when the daemon is killed leaves no control group behind", async () => {
    const id = await world.submit("install", "lingers");
    await world.untilRuns("sleep 4341");
    const { runId } = await world.transaction(id);
    await world.host.killDaemon("SIGKILL");
    await world.startDaemon();
    await world.cli("cancel", id);
    expect((await world.ended(id)).state).toBe("cancelled");
    await world.expectClean();
    const { stdout } = await world.host.exec("find", ["/sys/fs/cgroup", "-type", "d", "-name", `apt-ostree-${runId}`], { okStatuses: [0, 1] });
    expect(stdout).toBe("");
  });

  test("takes all memory is ended, and harms nobody else", async () => {
    const { error } = await world.failing(["install", "hogs"], { code: "ScriptFailed", message: /hogs/ });
    // Where the machine lets us make no control group, perl itself ran out.
    if (error?.details?.limits !== undefined) expect(error.message).toMatch(/of memory \(scriptMemoryMiB in daemon.yaml\)/);
    await world.ok("install", "hogs-a-bit");
    await world.expectSound();
  });

  test("writes the kernel's settings, mounts and opens connections gets nowhere, and is installed", async () => {
    const settings = await readFile("/proc/sys/kernel/panic", "utf8");
    await world.ok("install", "sets", "mounts", "talks");
    expect(await readFile("/proc/sys/kernel/panic", "utf8")).toBe(settings);
    await world.expectSound();
  });

  test("starts services starts none, and is enabled", async () => {
    const calls = (await world.host.systemctlCalls()).length;
    await world.ok("install", "serves");
    const { directory } = await world.next();
    expect(existsSync(join(directory, "usr/share/started"))).toBe(false);
    expect(await readdir(join(directory, "usr/etc/systemd/system/multi-user.target.wants"))).toContain("serves.service");
    expect((await world.host.systemctlCalls()).slice(calls).filter((call) => call.includes("serves"))).toEqual([]);
    expect(existsSync(join(directory, "usr/sbin/policy-rc.d"))).toBe(false);
  });

  test("brings a policy of its own keeps it, and one that removes ours harms nothing", async () => {
    await world.ok("install", "polices");
    expect(await readFile(join((await world.next()).directory, "usr/sbin/policy-rc.d"), "utf8")).toBe("#!/bin/sh\nexit 104\n");
    await world.expectSound();
    await world.ok("uninstall", "polices");
    await world.ok("install", "unpolices");
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
