import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sha256 } from "../../src/compose/inputs.ts";
import { lintCommit } from "../../src/compose/lint/command.ts";
import { COMPOSE_METADATA, lockFileOf } from "../../src/compose/repository.ts";
import { type ComposeResult, composeTree } from "../../src/compose/tree.ts";
import { exec } from "../../src/engines/exec.ts";
import { commitMetadata } from "../../src/engines/ostree/commits.ts";
import { removeTree } from "../../src/engines/tree.ts";
import type { AptOstreeError } from "../../src/model/errors.ts";
import { parseLockFile } from "../../src/model/lockfile.ts";
import { createSysroot, removeTree as removeSysroot } from "../../src/sandbox/sysroot.ts";

const COMPOSE_TIMEOUT_MS = 600_000;

/** As small as a tree that boots can be, with a package that makes keys of its own, and something in each odd place. */
const TREEFILE = `
suite: trixie
ref: test/{arch}/small
version: "13.{date}"
packages: [systemd-sysv, dracut, ostree-boot, zstd, openssh-server]
packages-amd64: [linux-image-cloud-amd64]
packages-arm64: [linux-image-cloud-arm64]
kargs: [quiet]
units:
  enable: [example.service]
  mask: [apt-daily.timer]
add-files:
  - path: /etc/example.conf
    mode: 0640
    content: "answer=42\\n"
  - {path: /opt/example/bin/tool, mode: 0755, from: tool.sh}
  - {path: /usr/local/bin/local-tool, mode: 0755, from: tool.sh}
  - {path: /var/lib/example/seed, mode: 0600, content: "from the image\\n"}
  - path: /usr/lib/systemd/system/example.service
    content: "[Service]\\nExecStart=true\\n[Install]\\nWantedBy=multi-user.target\\n"
postprocess-script: |
  getent passwd sshd >/dev/null
  test ! -e /run/systemd
  printf 'seen by the script' > "/usr/share/a name"
  install -d -o sshd -g adm -m 2750 /var/spool/example
  printf 'abcd\\000\\000\\000\\000\\001\\002\\003\\004\\005\\006\\007\\010code' > /usr/lib/stale.pyc
`;

let directory = "";
let repo = "";
let treefile = "";
let composed: ComposeResult;
let hostBefore = "";
/** The tree, copied, so that tests may change it. */
let tree = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "compose-"));
  repo = join(directory, "repo");
  treefile = join(directory, "small.yaml");
  tree = join(directory, "tree");
  await writeFile(treefile, TREEFILE);
  await writeFile(join(directory, "tool.sh"), "#!/bin/sh\necho works\n");
  hostBefore = await hostState();
  composed = await composeTree({ treefile, repo, cacheDir: join(directory, "cache") });
  await exec("ostree", [`--repo=${repo}`, "checkout", "--force-copy", composed.commit, tree]);
}, COMPOSE_TIMEOUT_MS);

afterAll(async () => {
  await removeSysroot(join(directory, "sysroot"));
  await removeTree(directory);
});

/** What a compose must not change of this machine. */
async function hostState(): Promise<string> {
  const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter((line) => line.includes(directory));
  const packages = await exec("sha256sum", ["/var/lib/dpkg/status", "/etc/passwd", "/etc/apt/sources.list"], { okStatuses: [0, 1] });
  return JSON.stringify([mounts, packages.stdout, await readdir("/boot")]);
}

async function shown(path: string): Promise<string> {
  return (await exec("ostree", [`--repo=${repo}`, "cat", composed.commit, path])).stdout;
}

/** Runs a shell command as on a first boot of the tree: read-only root, empty /var filled by the tree's own systemd-tmpfiles. */
async function onFirstBoot(command: string): Promise<string> {
  const empty = join(directory, "var");
  await rm(empty, { recursive: true, force: true });
  await mkdir(empty);
  await mkdir(join(tree, "etc"), { recursive: true });
  const root = ["--ro-bind", tree, "/", "--ro-bind", join(tree, "usr/etc"), "/etc", "--bind", empty, "/var", "--tmpfs", "/run", "--tmpfs", "/tmp"];
  const script = `systemd-tmpfiles --create --boot --prefix=/var >/dev/null 2>&1; ${command}`;
  try {
    return (
      await exec("bwrap", [
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-net",
        "--die-with-parent",
        "--cap-add",
        "ALL",
        ...root,
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--",
        "sh",
        "-c",
        script,
      ])
    ).stdout;
  } finally {
    await rm(join(tree, "etc"), { recursive: true });
  }
}

async function failureOf(work: Promise<unknown>): Promise<AptOstreeError> {
  return await work.then(
    () => {
      throw new Error("it did not fail");
    },
    (error) => error,
  );
}

describe("a composed tree", () => {
  it("can be deployed, and its boot entry has a kernel, an initramfs and the deployment", async () => {
    const sysroot = join(directory, "sysroot");
    await createSysroot(sysroot, { repo, ref: composed.ref });
    const [entry = ""] = await readdir(join(sysroot, "boot/loader/entries"));
    const text = await readFile(join(sysroot, "boot/loader/entries", entry), "utf8");
    for (const key of ["linux", "initrd"]) {
      const file = new RegExp(`^${key} (\\S+)$`, "m").exec(text)?.[1] ?? "";
      expect((await stat(join(sysroot, "boot", file))).size).toBeGreaterThan(1_000_000);
    }
    expect((await exec("ostree", ["fsck", `--repo=${join(sysroot, "ostree/repo")}`])).stdout).toContain("no errors found");
  });

  it("switches to the deployment in its initramfs, and is made for any machine", async () => {
    const modules = "usr/lib/modules";
    const [version = ""] = await readdir(join(tree, modules));
    const { stdout } = await exec("bwrap", [
      "--ro-bind",
      tree,
      "/",
      "--tmpfs",
      "/tmp",
      "--tmpfs",
      "/var",
      "--proc",
      "/proc",
      "--dev",
      "/dev",
      "--",
      "sh",
      "-c",
      `mkdir -p /var/tmp; lsinitrd /${modules}/${version}/initramfs.img`,
    ]);
    expect(stdout).toContain("usr/lib/ostree/ostree-prepare-root");
    expect(stdout).toContain("usr/lib/ostree/prepare-root.conf");
    // Drivers of disks that this machine need not have.
    expect(stdout).toMatch(/\/virtio_blk\.ko/);
    expect(stdout).toMatch(/\/ahci\.ko/);
  });

  it("has its dpkg database, complete, on a first boot with an empty /var", async () => {
    const output = await onFirstBoot(
      "dpkg --audit; dpkg -l openssh-server | tail -1; readlink /var/lib/dpkg; apt-mark showauto | head -1; debconf-show openssh-server",
    );
    expect(output).toMatch(/^ii {2}openssh-server /m);
    expect(output).toContain("../../usr/lib/sysimage/dpkg");
    expect(output).toMatch(/permit-root-login/);
  });

  it("differs from what its packages shipped only where OSTree demands it", async () => {
    const output = await onFirstBoot("dpkg --verify; true");
    const changed = output.split("\n").filter((line) => line !== "" && !/ \/boot\//.test(line));
    expect(changed).toEqual([]);
  });

  it("gives a first boot root's home, /usr/local, software in /opt and files that packages had in /var, with owners and modes", async () => {
    const output = await onFirstBoot(
      "/opt/example/bin/tool; /usr/local/bin/local-tool; cat /var/lib/example/seed; stat -L -c '%a %U %G %n' /root /root/.bashrc /var/lib/example/seed /var/spool/example /home /srv /var/mail",
    );
    expect(output.split("\n")).toEqual([
      "works",
      "works",
      "from the image",
      "700 root root /root",
      "644 root root /root/.bashrc",
      "600 root root /var/lib/example/seed",
      "2750 sshd adm /var/spool/example",
      "755 root root /home",
      "755 root root /srv",
      "2775 root mail /var/mail",
      "",
    ]);
  });

  it("does not overwrite what is in /var already", async () => {
    const output = await onFirstBoot(
      "echo mine > /var/lib/example/seed; systemd-tmpfiles --create --boot --prefix=/var >/dev/null 2>&1; cat /var/lib/example/seed",
    );
    expect(output).toBe("mine\n");
  });

  it("has what the treefile asked for: files, units, kernel arguments, and what its script did", async () => {
    expect(await shown("/usr/etc/example.conf")).toBe("answer=42\n");
    expect((await stat(join(tree, "usr/etc/example.conf"))).mode & 0o7777).toBe(0o640);
    expect(await shown("/usr/share/a name")).toBe("seen by the script");
    expect(await onFirstBoot("systemctl --root=/ is-enabled example.service apt-daily.timer; true")).toBe("enabled\nmasked\n");
    expect(await shown("/usr/lib/bootc/kargs.d/00-apt-ostree.toml")).toBe('kargs = ["quiet"]\n');
  });

  it("carries nothing of one machine: no keys, no machine-id, no name, no network, no accounts of the builder", async () => {
    expect(await shown("/usr/etc/machine-id")).toBe("");
    const etc = await readdir(join(tree, "usr/etc"));
    for (const name of ["hostname", "resolv.conf", "passwd-", "shadow-", ".pwd.lock", ".updated"]) expect(etc).not.toContain(name);
    expect((await readdir(join(tree, "usr/etc/ssh"))).filter((name) => name.startsWith("ssh_host"))).toEqual([]);
    const atBoot = await readdir(join(tree, "usr/lib/systemd/system/sysinit.target.wants"));
    expect(atBoot).toEqual(expect.arrayContaining(["apt-ostree-accounts.service", "apt-ostree-secret-openssh-server.service"]));
    expect(await readdir(join(tree, "usr/etc/apt/apt.conf.d"))).not.toContain("99mmdebstrap");
    expect(
      (await readFile(join(tree, "usr/etc/passwd"), "utf8"))
        .split("\n")
        .filter((line) => Number(line.split(":")[2]) >= 1000 && !line.startsWith("nobody:")),
    ).toEqual([]);
  });

  it("has bytecode that a checkout, where all times are 0, does not make stale", async () => {
    const bytes = await readFile(join(tree, "usr/lib/stale.pyc"));
    expect([...bytes.subarray(8, 16)]).toEqual([0, 0, 0, 0, 5, 6, 7, 8]);
  });

  it("knows its sources, with the key that signs them", async () => {
    const sources = await shown("/usr/etc/apt/sources.list.d/debian.sources");
    expect(sources).toMatch(/^Suites: trixie( |$)/m);
    expect(sources).toMatch(/^Signed-By: \/usr\/share\/keyrings\/debian-archive-keyring/m);
    const keyring = /^Signed-By: (.*)$/m.exec(sources)?.[1] ?? "";
    expect((await stat(join(tree, keyring))).size).toBeGreaterThan(1000);
  });

  it("says in its commit which packages and sources it was made of", async () => {
    expect(composed.version).toMatch(/^13\.20\d{6}$/);
    const packages = JSON.parse(await commitMetadata({ repo: repo }, composed.commit, COMPOSE_METADATA.packages)) as string[];
    expect(packages.some((name) => /^openssh-server=1:.*:[a-z0-9]+$/.test(name))).toBe(true);
    expect(JSON.parse(await commitMetadata({ repo: repo }, composed.commit, COMPOSE_METADATA.sourcePackages))).toEqual(
      expect.arrayContaining([expect.stringMatching(/^openssh=/)]),
    );
    expect(await commitMetadata({ repo: repo }, composed.commit, "ostree.linux")).toMatch(/^\d+\.\d+/);
  });

  it("leaves this machine as it was, and nothing in the work directory but the log", async () => {
    expect(await hostState()).toBe(hostBefore);
    expect((await readdir(join(repo, "extensions/apt-ostree/compose"))).sort()).toEqual(["lock", "log"]);
  });
});

describe("composing again", () => {
  it("does nothing while nothing changed, and does not even ask the sources where the caller wants that", async () => {
    const again = await composeTree({ treefile, repo });
    expect(again).toMatchObject({ cached: true, commit: composed.commit, version: composed.version });
    const cached = await composeTree({ treefile, repo, cached: true, mirrors: ["file:/nonexistent"] });
    expect(cached).toMatchObject({ cached: true, commit: composed.commit });
  });

  it("from its lock file gives the same tree, bit for bit, from cached archives", { timeout: COMPOSE_TIMEOUT_MS }, async () => {
    const events: string[] = [];
    const lockfile = await writtenLock((text) => text);
    const elsewhere = join(directory, "locked");
    const options = { treefile, repo: elsewhere, lockfile, cacheDir: join(directory, "cache") };
    const locked = await composeTree({ ...options, onLine: (line) => events.push(line) });
    const contentOf = async (where: string, commit: string): Promise<string | undefined> =>
      /ContentChecksum: +(\S+)/.exec((await exec("ostree", [`--repo=${where}`, "show", commit])).stdout)?.[1];
    expect(await contentOf(elsewhere, locked.commit)).toBe(await contentOf(repo, composed.commit));
    expect(await lockFileOf(elsewhere, locked.commit)).toBe(await readFile(lockfile, "utf8"));
    expect(await readFile(join(elsewhere, "extensions/apt-ostree/compose/log"), "utf8")).not.toMatch(/^Get:.* openssh-server /m);
    expect(events).toContain(`Composing ${composed.ref}: bootstrapping`);
    expect(events.at(-1)).toMatch(/committing done in \d/);
    expect(await composeTree(options)).toMatchObject({ cached: true, commit: locked.commit });
  });
});

/** The lock file of the composed tree, changed, in a file. */
async function writtenLock(change: (text: string) => string): Promise<string> {
  const file = join(directory, "lock.yaml");
  await writeFile(file, change(await lockFileOf(repo, composed.commit)));
  return file;
}

describe("a lock file", () => {
  it("names every package with version, size and hash, and nothing that is of one machine", async () => {
    const lock = parseLockFile(await lockFileOf(repo, composed.commit), "lock.yaml");
    const packages = JSON.parse(await commitMetadata({ repo: repo }, composed.commit, COMPOSE_METADATA.packages)) as string[];
    expect(lock.packages.map(({ name, version, architecture }) => `${name}=${version}:${architecture}`).sort()).toEqual(packages);
    expect(lock.suites).toContain("trixie");
    const [archive = ""] = (await readdir(join(directory, "cache"))).filter((name) => name.startsWith("openssh-server_"));
    const content = await readFile(join(directory, "cache", archive));
    expect(lock.packages.find(({ name }) => name === "openssh-server")).toMatchObject({ sha256: sha256(content), sizeBytes: content.length });
  });

  it("that the sources cannot keep any more is refused by the names of the packages", { timeout: COMPOSE_TIMEOUT_MS }, async () => {
    const compose = (lockfile: string): Promise<AptOstreeError> => failureOf(composeTree({ treefile, repo, lockfile, force: true }));
    const gone = await compose(await writtenLock((text) => text.replace(/(name: "zstd", version: )"[^"]*"/, '$1"0.1"')));
    expect(gone).toMatchObject({ code: "UnknownPackage", message: expect.stringMatching(/lock\.yaml: .* no more zstd 0\.1 /) });
    expect(gone.details.packages).toEqual(["zstd"]);
    const changed = await compose(await writtenLock((text) => text.replace(/(name: "zstd",.*sha256: )"[^"]*"/, `$1"${"0".repeat(64)}"`)));
    expect(changed).toMatchObject({ code: "VerificationFailed", message: expect.stringContaining("another archive of zstd ") });
    expect(await readFile(join(repo, "extensions/apt-ostree/compose/log"), "utf8")).not.toMatch(/^Unpacking /m);
    // What the treefile wants and the lock file has not is not installed besides.
    const lacking = await compose(await writtenLock((text) => text.replace(/^.*name: "zstd".*\n/m, "")));
    expect(lacking).toMatchObject({ code: "UnknownPackage", message: expect.stringContaining("zstd") });
    const foreign = await compose(await writtenLock((text) => text.replace(/^architectures: .*/m, "architectures: [other]")));
    expect(foreign).toMatchObject({ code: "ConfigInvalid", message: expect.stringContaining("it is for other") });
  });
});

describe("the check of a commit", () => {
  it("finds nothing wrong with a composed tree", async () => {
    expect(await lintCommit(repo, composed.ref)).toMatchObject({ errors: 0, warnings: 0, findings: [] });
    expect(await readdir(join(repo, "extensions/apt-ostree/lint"))).toEqual(["lock"]);
  });
});

describe("a compose that cannot be", () => {
  const REF = "test/other";
  const other = async (text: string): Promise<string> => {
    const file = join(directory, "other.yaml");
    await writeFile(file, `suite: trixie\nref: ${REF}\nversion: "1"\n${text}`);
    return file;
  };

  it("lists every unknown package", { timeout: COMPOSE_TIMEOUT_MS }, async () => {
    const file = await other("packages: [dash, no-such-a, no-such-b]\n");
    const error = await failureOf(composeTree({ treefile: file, repo, cacheDir: join(directory, "cache") }));
    expect(error).toMatchObject({ code: "UnknownPackage", details: { packages: ["no-such-a", "no-such-b"] } });
    expect((await exec("ostree", [`--repo=${repo}`, "refs", "--list", REF])).stdout).toBe("");
  });

  it("says which suite, file or address it is", async () => {
    const file = join(directory, "nosuite.yaml");
    await writeFile(file, `suite: nosuchsuite\nref: ${REF}\nversion: "1"\n`);
    expect(await failureOf(composeTree({ treefile: file, repo }))).toMatchObject({
      code: "DownloadFailed",
      message: expect.stringContaining("the suite nosuchsuite"),
    });
    expect(await failureOf(composeTree({ treefile: file, repo, mirrors: ["ftp://x"] }))).toMatchObject({ code: "InvalidRequest" });
    expect(await failureOf(composeTree({ treefile: join(directory, "absent.yaml"), repo }))).toMatchObject({
      code: "ConfigInvalid",
      message: expect.stringContaining("absent.yaml"),
    });
    const missing = await other("postprocess-script: {file: absent.sh}\n");
    expect(await failureOf(composeTree({ treefile: missing, repo }))).toMatchObject({
      code: "ConfigInvalid",
      message: expect.stringContaining("absent.sh"),
    });
    await writeFile(join(directory, "plain"), "");
    expect((await failureOf(composeTree({ treefile, repo: join(directory, "plain") }))).message).toContain("plain");
  });

  it("ends when it is cancelled, with no mount, process, work tree or commit left", { timeout: COMPOSE_TIMEOUT_MS }, async () => {
    const file = await other("packages: [dash]\n");
    const stop = new AbortController();
    let begun: () => void = () => undefined;
    const bootstrapping = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const running = composeTree({
      treefile: file,
      repo,
      signal: stop.signal,
      onEvent: ({ stage, state, text }) => {
        if (stage === "bootstrapping") begun();
        if (state === "running" && text.includes("unpacked")) void second.then(() => stop.abort());
      },
    });
    // A second compose in the same place does not wait and does not disturb.
    const second = failureOf(bootstrapping.then(() => composeTree({ treefile, repo, force: true })));
    expect(await failureOf(running)).toMatchObject({ code: "Cancelled", message: "cancelled while bootstrapping; nothing was committed" });
    expect(await second).toMatchObject({ code: "Busy" });
    expect(await hostState()).toBe(hostBefore);
    expect((await exec("pgrep", ["-f", "--", `${repo}/extensions`], { okStatuses: [0, 1] })).stdout.trim()).toBe("");
    expect((await readdir(join(repo, "extensions/apt-ostree/compose"))).sort()).toEqual(["lock", "log"]);
    expect((await exec("ostree", [`--repo=${repo}`, "refs", "--list", REF])).stdout).toBe("");
  });

  it("takes away what a killed one left, immutable files included", async () => {
    const left = join(repo, "extensions/apt-ostree/compose/work/tree/usr");
    await mkdir(left, { recursive: true });
    await writeFile(join(left, "fixed"), "");
    await exec("chattr", ["+i", join(left, "fixed")]);
    expect(await composeTree({ treefile, repo })).toMatchObject({ cached: true });
    expect((await readdir(join(repo, "extensions/apt-ostree/compose"))).sort()).toEqual(["lock", "log"]);
  });
});
