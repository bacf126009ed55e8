/** The checks of `compose lint`, each on a small tree of its shape with one thing wrong. */
import { chmod, chown, mkdir, mkdtemp, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatLint, lintCommit, runLint } from "../../src/compose/lint/command.ts";
import { lint, requireClean } from "../../src/compose/lint/lint.ts";
import { exec } from "../../src/engines/exec.ts";
import { removeTree } from "../../src/engines/tree.ts";

let directory = "";
let tree = "";

const LINKS = { bin: "usr/bin", home: "var/home", lib: "usr/lib", media: "run/media", mnt: "var/mnt", opt: "var/opt" };
const MORE_LINKS = { ostree: "sysroot/ostree", root: "var/roothome", sbin: "usr/sbin", srv: "var/srv", "usr/local": "../var/usrlocal" };
const FILES: Readonly<Record<string, string>> = {
  "usr/etc/machine-id": "",
  "usr/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n",
  "usr/etc/group": "root:x:0:\nnogroup:x:65534:\n",
  "usr/etc/shadow": "root:*:20000::::::\nsshd:!:20000::::::\n",
  "usr/lib/sysusers.d/tree.conf": "g nogroup 65534 -\nu sshd 101:65534 - /run/sshd /usr/sbin/nologin\n",
  "usr/lib/tmpfiles.d/tree.conf":
    "L /var/lib/dpkg - - - - ../../usr/lib/sysimage/dpkg\nL /var/cache/debconf - - - - x\nd /var/lib/tool 0755 root root -\n",
  "usr/lib/modules/6.1/vmlinuz": "kernel",
  "usr/lib/modules/6.1/initramfs.img": "initramfs",
  "usr/lib/sysimage/dpkg/status":
    "Package: tool\nStatus: install ok installed\nMaintainer: t <t@example.org>\nArchitecture: all\nVersion: 1\nDescription: t\n\n",
  "usr/lib/sysimage/dpkg/info/tool.list": "/.\n/bin\n/bin/tool\n",
  "usr/lib/sysimage/dpkg/info/tool.md5sums": "",
  "usr/lib/sysimage/dpkg/info/format": "1\n",
  "usr/bin/tool": "tool",
};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "lint-"));
  tree = join(directory, "tree");
  for (const name of ["boot", "dev", "proc", "run", "sys", "sysroot", "tmp", "usr/sbin", "usr/share", "var"])
    await mkdir(join(tree, name), { recursive: true });
  for (const [path, text] of Object.entries(FILES)) {
    await mkdir(join(tree, dirname(path)), { recursive: true });
    await writeFile(join(tree, path), text);
  }
  for (const [path, target] of Object.entries({ ...LINKS, ...MORE_LINKS })) await symlink(target, join(tree, path));
  await chown(join(tree, "usr/bin/tool"), 101, 65534);
  await chmod(join(tree, "usr/bin/tool"), 0o4755);
});

afterAll(() => removeTree(directory));

describe("a tree", () => {
  it("of the right shape passes, with a setuid program that a package ships", async () => {
    expect(await lint(tree)).toEqual([]);
  });

  it.each([
    ["a new directory at the top", "mkdir snap", "rmdir snap", "/snap", "top"],
    ["an /etc beside /usr/etc", "mkdir etc", "rmdir etc", "/etc", "forbidden"],
    ["something in /boot", "touch boot/vmlinuz", "rm boot/vmlinuz", "/boot/vmlinuz", "empty"],
    ["something in /run", "mkdir run/lock", "rmdir run/lock", "/run/lock", "empty"],
    ["something in /var", "mkdir var/lib", "rmdir var/lib", "/var/lib", "empty"],
    ["a second kernel", "mkdir usr/lib/modules/1; touch usr/lib/modules/1/vmlinuz", "rm -r usr/lib/modules/1", "/usr/lib/modules", "kernel"],
    [
      "no initramfs",
      "mv usr/lib/modules/6.1/initramfs.img ../kept",
      "mv ../kept usr/lib/modules/6.1/initramfs.img",
      "/usr/lib/modules/6.1/initramfs.img",
      "kernel",
    ],
    ["a pipe", "mkfifo usr/share/pipe", "rm usr/share/pipe", "/usr/share/pipe", "special"],
    ["a device", "mknod usr/share/null c 1 3", "rm usr/share/null", "/usr/share/null", "special"],
    ["a name in Latin-1", "touch usr/share/caf$(printf '\\351')", "rm usr/share/caf*", "/usr/share/caf\ufffd", "name"],
    ["a file of nobody", "touch usr/share/x; chown 4242 usr/share/x", "rm usr/share/x", "/usr/share/x", "owner"],
    ["a directory that nobody can write", "mkdir -m 555 usr/share/locked", "rmdir usr/share/locked", "/usr/share/locked", "locked"],
    ["a host key", "mkdir usr/etc/ssh; touch usr/etc/ssh/ssh_host_rsa_key", "rm -r usr/etc/ssh", "/usr/etc/ssh/ssh_host_rsa_key", "identity"],
    ["a machine-id", "echo 0123 > usr/etc/machine-id", ": > usr/etc/machine-id", "/usr/etc/machine-id", "identity"],
    [
      "a private key",
      "mkdir usr/etc/vpn; printf -- '-----BEGIN RSA PRIVATE KEY-----\\nx\\n' > usr/etc/vpn/key",
      "rm -r usr/etc/vpn",
      "/usr/etc/vpn/key",
      "secret",
    ],
    [
      "a password for a mirror",
      "mkdir -p usr/etc/apt/auth.conf.d; echo x > usr/etc/apt/auth.conf.d/a.conf",
      "rm -r usr/etc/apt",
      "/usr/etc/apt/auth.conf.d/a.conf",
      "secret",
    ],
    [
      "a password among the answers to debconf",
      "mkdir -p usr/lib/sysimage/var/cache/debconf; printf 'Name: a/b\\nValue: geheim\\n' > usr/lib/sysimage/var/cache/debconf/passwords.dat",
      "rm -r usr/lib/sysimage/var",
      "/usr/lib/sysimage/var/cache/debconf/passwords.dat",
      "secret",
    ],
    [
      "an account without a password",
      "sed -i 's/^root:[*]/root:/' usr/etc/shadow",
      "sed -i 's/^root:/root:*/' usr/etc/shadow",
      "/usr/etc/shadow",
      "password",
    ],
    [
      "an account that nothing declares",
      "sed -i '/sshd/d' usr/lib/sysusers.d/tree.conf",
      "echo 'u sshd 101:65534 - /run/sshd /usr/sbin/nologin' >> usr/lib/sysusers.d/tree.conf",
      "/usr/etc/passwd",
      "sysusers",
    ],
    ["two groups of one number", "echo twin:x:0: >> usr/etc/group", "sed -i /twin/d usr/etc/group", "/usr/etc/group", "accounts"],
    ["state that no boot links", "mkdir -p usr/lib/sysimage/var/lib/ucf", "rm -r usr/lib/sysimage/var", "/var/lib/ucf", "tmpfiles"],
    ["a home that is no link", "rm home; mkdir home", "rmdir home; ln -s var/home home", "/home", "top"],
    [
      "a half-installed package",
      "sed -i 's/install ok installed/install ok half-configured/' usr/lib/sysimage/dpkg/status",
      "sed -i 's/install ok half-configured/install ok installed/' usr/lib/sysimage/dpkg/status",
      "/usr/lib/sysimage/dpkg",
      "dpkg",
    ],
  ])("is refused for %s", async (_, damage, repair, path, check) => {
    await exec("sh", ["-ec", damage], { cwd: tree });
    const problems = await lint(tree);
    const refusal = requireClean(tree);
    await expect(refusal).rejects.toMatchObject({ code: "LayerInvalid", message: expect.stringContaining(path) });
    await exec("sh", ["-ec", repair], { cwd: tree });
    expect(problems.map((problem) => [problem.severity, problem.path, problem.check])).toEqual([["error", path, check]]);
  });

  it.each([
    [
      "a password that is known",
      "sed -i 's/^root:[*]/root:$y$x/' usr/etc/shadow",
      "sed -i 's/^root:[^:]*/root:*/' usr/etc/shadow",
      "/usr/etc/shadow",
      "password",
    ],
    ["a setuid program of no package", "touch usr/bin/su; chmod 4755 usr/bin/su", "rm usr/bin/su", "/usr/bin/su", "setuid"],
    ["a program that is a link to nowhere", "ln -s /usr/bin/nothing usr/bin/link", "rm usr/bin/link", "/usr/bin/link", "links"],
    [
      "an alternative that leads to nowhere",
      "mkdir usr/etc/alternatives; ln -s /usr/bin/nothing usr/etc/alternatives/x; ln -s ../../bin/tool usr/etc/alternatives/y",
      "rm -r usr/etc/alternatives",
      "/usr/etc/alternatives/x",
      "links",
    ],
    [
      "a file that no boot copies into /var",
      "mkdir -p usr/share/factory/var/lib/tool usr/share/factory/var/lib/other; touch usr/share/factory/var/lib/tool/a usr/share/factory/var/lib/other/a",
      "rm -r usr/share/factory",
      "/usr/share/factory/var/lib/other/a",
      "tmpfiles",
    ],
  ])("is warned of for %s, and not refused", async (_, damage, repair, path, check) => {
    await exec("sh", ["-ec", damage], { cwd: tree });
    const problems = await lint(tree);
    await requireClean(tree);
    await exec("sh", ["-ec", repair], { cwd: tree });
    expect(problems.map((problem) => [problem.severity, problem.path, problem.check])).toEqual([["warning", path, check]]);
  });
});

describe("a commit", () => {
  it("is checked where it lies, and every finding says what to do", async () => {
    const repo = join(directory, "repo");
    await exec("ostree", ["init", `--repo=${repo}`, "--mode=bare"]);
    const commit = async (): Promise<string> =>
      (await exec("ostree", ["commit", `--repo=${repo}`, "--branch=a/b", `--tree=dir=${tree}`])).stdout.trim();
    const good = await commit();
    expect(await lintCommit(repo, "a/b")).toEqual({ commit: good, errors: 0, warnings: 0, findings: [] });
    await exec("sh", ["-c", "echo x > usr/etc/hostname; ln -s nothing usr/bin/link"], { cwd: tree });
    const result = await lintCommit(repo, await commit());
    expect(result).toMatchObject({ errors: 1, warnings: 1 });
    expect(result.findings.every(({ remedy }) => remedy.length > 10)).toBe(true);
    expect(formatLint(result)).toMatch(
      /^error: \/usr\/etc\/hostname: it names one machine \[forbidden\]\n {2}remove it .*\nwarning: \/usr\/bin\/link: .* \[links\]\n {2}.*\n[0-9a-f]{64}: 1 error, 1 warning\n$/,
    );
    await expect(runLint("a/b", { repo, json: true })).rejects.toMatchObject({ code: "LayerInvalid" });
    await expect(lintCommit(repo, "no/such")).rejects.toMatchObject({ code: "NotFound" });
    await expect(lintCommit(join(directory, "absent"), "a/b")).rejects.toMatchObject({ code: "NotFound" });
  });
});
