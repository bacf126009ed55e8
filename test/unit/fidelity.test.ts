import { describe, expect, test } from "vitest";
import { type Difference, type DifferenceKind, topmost } from "../fidelity/compare.ts";
import type { Entry } from "../fidelity/entries.ts";
import { covers, EXCEPTIONS, uncovered } from "../fidelity/exceptions.ts";
import { certificatesOf } from "../fidelity/keystore.ts";
import { logicalPath } from "../fidelity/logical.ts";
import { normalForm } from "../fidelity/normal.ts";
import { lineOf, summaryOf } from "../fidelity/report.ts";
import type { Outcome } from "../fidelity/run.ts";
import { listFile, parseList, parseSet, readList } from "../fidelity/sets.ts";
import { formatAcl } from "../fidelity/xattrs.ts";

const link = (path: string, target: string): [string, Entry] => [
  path,
  { path, type: "l", mode: "", owner: "root:root", sizeBytes: 0, target, xattrs: "" },
];
const NOWHERE = {
  directory: "/nonexistent",
  entries: new Map([
    link("etc/ssl/certs/62742064.0", "ssl-cert-snakeoil.pem"),
    link("etc/ssl/certs/002c0b4f.0", "GlobalSign_Root_R46.pem"),
    link("usr/lib/modules/6.12.2-amd64", ""),
    link("usr/lib/modules/6.12.2-amd64/vmlinuz", ""),
  ]),
};
const difference = (path: string, kind: DifferenceKind = "content"): Difference => ({ path, kind, plain: null, layered: null });

describe("package sets", () => {
  test("a plus parts names, and is part of some", () => {
    expect(["tree", "nginx+vim+git", "g++", "g+++make", "libstdc++6", "a+g++"].map(parseSet)).toEqual([
      ["tree"],
      ["git", "nginx", "vim"],
      ["g++"],
      ["g++", "make"],
      ["libstdc++6"],
      ["a", "g++"],
    ]);
  });

  test("a list has one a line, and comments", () => {
    expect(parseList("# all\ntree # small\n\n  nginx+vim\n")).toEqual([["tree"], ["nginx", "vim"]]);
  });

  test("the lists of the checkout name each set once; the full one has at least 160", () => {
    for (const name of ["short", "full"]) {
      const sets = readList(listFile(name)).map((set) => set.join("+"));
      expect(
        sets.filter((set, at) => sets.indexOf(set) !== at),
        name,
      ).toEqual([]);
    }
    expect(readList(listFile("short")).length).toBeGreaterThanOrEqual(24);
    expect(readList(listFile("full")).length).toBeGreaterThanOrEqual(160);
  });
});

describe("what a path is called", () => {
  const name = (path: string, type = "f", target = ""): string | null => logicalPath({ path, type, target });

  test("what a deployment keeps under /usr has the name of the link that leads there, and the link none", () => {
    expect(name("usr/lib/sysimage/dpkg/status")).toBe("var/lib/dpkg/status");
    expect(name("usr/lib/sysimage/var/lib/ucf/hashfile")).toBe("var/lib/ucf/hashfile");
    expect(name("usr/lib/opt/tool/bin")).toBe("var/opt/tool/bin");
    expect(name("var/lib/dpkg", "l", "../../usr/lib/sysimage/dpkg")).toBeNull();
    expect(name("var/opt/tool", "l", "/usr/lib/opt/tool")).toBeNull();
  });

  test("every other path and link keeps its name; the sources of factory copies have none", () => {
    expect(name("usr/bin/tool")).toBe("usr/bin/tool");
    expect(name("var/lib/other", "l", "../../usr/lib/sysimage/dpkg")).toBe("var/lib/other");
    expect(name("usr/share/factory/var/lib/tool/data")).toBeNull();
  });
});

describe("what a file says", () => {
  const same = (path: string, one: [string, string], other: [string, string]): boolean =>
    normalForm(path, one[0], () => one[1]) === normalForm(path, other[0], () => other[1]);

  test("accounts are compared by name, whatever their numbers and order", () => {
    const one: [string, string] = ["root:x:0:0::/root:/bin/sh\ntool:x:101:102:,,,:/var/lib/tool:/bin/false\n", "root:x:0:\ntool:x:102:\n"];
    const other: [string, string] = ["tool:x:999:998:,,,:/var/lib/tool:/bin/false\nroot:x:0:0::/root:/bin/sh\n", "root:x:0:\ntool:x:998:\n"];
    expect(same("etc/passwd", one, other)).toBe(true);
    expect(same("etc/passwd", one, [other[0].replace("/bin/false", "/bin/sh"), other[1]])).toBe(false);
    expect(same("etc/passwd", one, [other[0], "root:x:0:\nother:x:998:\n"])).toBe(false);
    expect(same("etc/group", ["a:x:1:c,b\n", ""], ["a:x:2:b,c\n", ""])).toBe(true);
    expect(same("etc/group", ["a:x:1:b\n", ""], ["a:x:1:\n", ""])).toBe(false);
    expect(same("etc/shadow", ["a:!:20000:0::::\n", ""], ["a:!:1:0::::\n", ""])).toBe(true);
    expect(same("etc/shadow", ["a:!:20000:0::::\n", ""], ["a::20000:0::::\n", ""])).toBe(false);
  });

  test("the order of stanzas in a database means nothing, their words do", () => {
    expect(same("var/lib/dpkg/status", ["Package: a\nVersion: 1\n\nPackage: b\n", ""], ["Package: b\n\nPackage: a\nVersion: 1\n\n", ""])).toBe(true);
    expect(same("var/lib/dpkg/status", ["Package: a\nVersion: 1\n", ""], ["Package: a\nVersion: 2\n", ""])).toBe(false);
    expect(same("etc/other", ["b\na\n", ""], ["a\nb\n", ""])).toBe(false);
  });

  test("the numbers of an access control list are names", () => {
    const acl = Buffer.from("0200000001000700ffffffff08000500040000001000050000000000", "hex");
    expect(formatAcl(acl, { users: new Map(), groups: new Map([["4", "adm"]]) })).toBe("group:adm:5,mask:5,owner:7");
  });
});

/** For each exception: what it covers, and what is near it that it does not. */
const SAMPLES: Readonly<Record<string, { covered: readonly Difference[]; not: readonly Difference[] }>> = {
  declarations: {
    covered: [difference("usr/lib/tmpfiles.d/apt-ostree-layer.conf", "extra")],
    not: [difference("usr/lib/tmpfiles.d/tool.conf", "extra"), difference("usr/lib/tmpfiles.d/apt-ostree-layer.conf", "missing")],
  },
  logs: {
    covered: [difference("var/log/tool/error.log")],
    not: [difference("var/log/tool/error.log", "owner"), difference("var/log/tool/error.log", "missing"), difference("var/lib/tool/log")],
  },
  "installation-logs": {
    covered: [difference("var/log/dpkg.log", "missing"), difference("var/log/apt/history.log", "missing")],
    not: [difference("var/log/tool.log", "missing"), difference("var/log/apt", "missing")],
  },
  "apt-caches": {
    covered: [difference("var/cache/apt/pkgcache.bin", "missing"), difference("var/lib/apt/lists/any", "missing")],
    not: [difference("var/lib/apt/extended_states", "content"), difference("var/cache/tool/data", "missing")],
  },
  "dpkg-locks": {
    covered: [difference("var/lib/dpkg/lock", "missing")],
    not: [difference("var/lib/dpkg/status", "missing"), difference("var/lib/tool/lock", "missing")],
  },
  "dpkg-backups": {
    covered: [difference("var/lib/dpkg/status-old", "missing")],
    not: [difference("var/lib/dpkg/status"), difference("var/lib/tool/status-old", "missing")],
  },
  "account-backups": {
    covered: [difference("etc/passwd-", "missing")],
    not: [difference("etc/passwd"), difference("etc/tool-", "missing")],
  },
  ldconfig: {
    covered: [difference("var/cache/ldconfig/aux-cache", "missing")],
    not: [difference("etc/ld.so.cache"), difference("var/cache/ldconfig", "missing")],
  },
  fontconfig: {
    covered: [difference("var/cache/fontconfig/3830d5c3ddfd5cd38a049b759396e72e-le64.cache-9", "missing")],
    not: [difference("var/cache/fontconfig", "missing"), difference("etc/fonts/conf.d/10-hinting-slight.conf", "missing")],
  },
  "man-index": {
    covered: [difference("var/cache/man/index.db", "missing"), difference("var/cache/man/de/index.db", "missing")],
    not: [difference("var/cache/man/de", "missing"), difference("var/lib/man/index.db", "missing")],
  },
  "info-index": {
    covered: [difference("usr/share/info/dir")],
    not: [difference("usr/share/info/dir", "missing"), difference("usr/share/info/emacs.info.gz")],
  },
  "mdadm-date": {
    covered: [difference("etc/mdadm/mdadm.conf")],
    not: [difference("etc/mdadm/mdadm.conf", "owner"), difference("etc/mdadm.conf")],
  },
  "popularity-contest": {
    covered: [difference("etc/popularity-contest.conf"), difference("etc/cron.d/popularity-contest")],
    not: [difference("etc/popularity-contest.conf", "missing"), difference("etc/cron.d/tool")],
  },
  initramfs: {
    covered: [difference("usr/lib/modules/6.12.1-amd64/initramfs.img")],
    not: [difference("usr/lib/modules/6.12.1-amd64/initramfs.img", "missing"), difference("usr/lib/modules/6.12.1-amd64/vmlinuz")],
  },
  "kernel-files": {
    covered: [difference("usr/lib/modules/6.12.1-amd64/vmlinuz", "extra")],
    not: [difference("usr/lib/modules/6.12.1-amd64/modules.dep", "extra")],
  },
  boot: {
    covered: [difference("boot/vmlinuz-6.12.1-amd64", "missing"), difference("initrd.img.old", "missing")],
    not: [difference("boot/memtest86+x64.bin", "missing"), difference("boot/vmlinuz-6.12.1-amd64", "extra")],
  },
  "one-kernel": {
    covered: [difference("usr/lib/modules/6.12.1-amd64/modules.dep", "missing"), difference("usr/lib/modules/6.12.1-amd64", "missing")],
    not: [difference("usr/lib/modules/6.12.2-amd64/modules.dep", "missing"), difference("usr/lib/modules", "missing")],
  },
  etckeeper: {
    covered: [difference("etc/.git/index"), difference("etc/.git/objects/16/a0", "missing")],
    not: [difference("etc/.git/config"), difference("etc/.gitignore", "missing")],
  },
  bytecode: {
    covered: [difference("usr/lib/python3/dist-packages/__pycache__/tool.cpython-313.pyc")],
    not: [
      difference("usr/lib/python3/dist-packages/tool.py"),
      difference("usr/lib/python3/dist-packages/__pycache__/tool.cpython-313.pyc", "missing"),
    ],
  },
  "java-keystore": {
    covered: [difference("etc/ssl/certs/java/cacerts")],
    not: [difference("etc/ssl/certs/java/cacerts", "mode"), difference("etc/ssl/certs/ca-certificates.crt")],
  },
  "ldap-configuration": {
    covered: [difference("etc/ldap/slapd.d/cn=config.ldif")],
    not: [difference("etc/ldap/ldap.conf"), difference("etc/ldap/slapd.d/cn=config.ldif", "missing")],
  },
  databases: {
    covered: [difference("var/lib/postgresql/17/main/global/pg_control"), difference("var/lib/mysql/ibdata1")],
    not: [difference("var/lib/mysql/ibdata1", "missing"), difference("etc/postgresql/17/main/postgresql.conf")],
  },
  secrets: {
    covered: [
      difference("etc/ssh/ssh_host_rsa_key", "missing"),
      difference("var/lib/dkms/mok.key", "missing"),
      difference("etc/ssl/private/ssl-cert-snakeoil.key", "missing"),
    ],
    not: [
      difference("etc/ssh/ssh_host_rsa_key"),
      difference("etc/ssh/sshd_config", "missing"),
      difference("etc/ssl/certs/ca-certificates.crt", "missing"),
    ],
  },
  units: {
    covered: [
      difference("usr/lib/systemd/system/apt-ostree-accounts.service", "extra"),
      difference("usr/lib/systemd/system/sysinit.target.wants/apt-ostree-secret-bind9.service", "extra"),
    ],
    not: [difference("usr/lib/systemd/system/named.service", "extra")],
  },
  "debconf-passwords": {
    covered: [difference("var/cache/debconf/passwords.dat", "missing")],
    not: [difference("var/cache/debconf/config.dat", "missing")],
  },
  "secret-names": {
    covered: [difference("etc/ssl/certs/62742064.0", "missing")],
    not: [difference("etc/ssl/certs/other.pem", "missing"), difference("etc/ssl/certs/002c0b4f.0", "missing")],
  },
};

describe("the exceptions", () => {
  test("are a short table, each with a name of its own and a reason", () => {
    expect(new Set(EXCEPTIONS.map(({ name }) => name)).size).toBe(EXCEPTIONS.length);
    expect(EXCEPTIONS.filter(({ why }) => why.length < 20)).toEqual([]);
    expect(EXCEPTIONS.length).toBeLessThanOrEqual(40);
    expect(EXCEPTIONS.map(({ name }) => name).sort()).toEqual(Object.keys(SAMPLES).sort());
  });

  test.each(EXCEPTIONS.map((exception) => [exception.name, exception] as const))(
    "%s covers what it is for, and nothing near by",
    (name, exception) => {
      const covered = (one: Difference): boolean => covers(exception, one, NOWHERE, NOWHERE);
      expect(SAMPLES[name]?.covered.filter((one) => !covered(one))).toEqual([]);
      expect(SAMPLES[name]?.not.filter(covered)).toEqual([]);
    },
  );

  test("what none covers is left, and which were used is known", () => {
    const { differences, used } = uncovered([difference("etc/passwd-", "missing"), difference("etc/tool.conf")], NOWHERE, NOWHERE);
    expect(differences.map(({ path }) => path)).toEqual(["etc/tool.conf"]);
    expect([...used].map(({ name }) => name)).toEqual(["account-backups"]);
  });
});

test("a Java keystore is compared by its certificates", () => {
  const keystore = (time: string, certificate: string): Buffer =>
    Buffer.from(`feedfeed0000000200000001000000020003616263${time}0005582e35303900000002${certificate}${"00".repeat(20)}`, "hex");
  const one = certificatesOf(keystore("0000000000000001", "0a0b"));
  expect(one).toContain("abc ");
  expect(certificatesOf(keystore("0000000000000002", "0a0b"))).toBe(one);
  expect(certificatesOf(keystore("0000000000000001", "0a0c"))).not.toBe(one);
  expect(certificatesOf(Buffer.from("other"))).toBe("other");
});

describe("the report", () => {
  const differing: Outcome = {
    set: "b",
    differences: [difference("a/b", "missing"), difference("a", "missing"), difference("c", "mode")],
    used: new Set(),
    tookMs: 2000,
  };
  const same: Outcome = { set: "a", differences: [], used: new Set(EXCEPTIONS), tookMs: 1000 };
  const failed: Outcome = { set: "c", failed: "cannot install c:\nunable to locate package c", tookMs: 1000 };

  test("one line for a set, without what lies below a path that is named", () => {
    expect(topmost(differing.differences).map(({ path }) => path)).toEqual(["a", "c"]);
    expect([same, differing, failed].map((outcome) => lineOf(outcome, false))).toEqual([
      "a same",
      "b differs: 2 paths: /a (missing), /c (mode)",
      "c failed: cannot install c: unable to locate package c",
    ]);
  });

  test("the last lines count, and name the exceptions that nothing needed", () => {
    expect(summaryOf([same, differing, failed], 4000)).toEqual(["1 same, 1 differ, 1 failed of 3 (4 s)", "1 passed, 2 failed"]);
    expect(summaryOf([failed], 0)[0]).toMatch(/^Exceptions that were not needed: declarations, units, logs, installation-logs/);
  });
});
