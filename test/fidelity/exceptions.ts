/** Where a layered tree may differ from what plain apt makes, and why. Each entry is as narrow as its reason. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { secretOf } from "../../src/model/secrets.ts";
import type { Difference, DifferenceKind, ListedTree } from "./compare.ts";
import { certificatesOf } from "./keystore.ts";

/** A difference that is meant to be. */
export interface Exception {
  readonly name: string;
  /** Logical paths, without a slash in front. */
  readonly paths: Pick<RegExp, "test">;
  readonly kinds: readonly DifferenceKind[];
  readonly why: string;
  /** Where more than the path decides. */
  readonly when?: (path: string, plain: ListedTree, layered: ListedTree) => boolean;
  /** For "content": what is compared instead of the bytes; anything goes where it is absent. */
  readonly compared?: (content: Buffer) => string;
}

/** The table. The first entry that matches counts. */
export const EXCEPTIONS: readonly Exception[] = [
  {
    name: "declarations",
    paths: /^usr\/lib\/(sysusers|tmpfiles)\.d\/(00-)?apt-ostree-layer\.conf$/,
    kinds: ["extra"],
    why: "a deployment makes accounts and /var at boot, from these files",
  },
  {
    name: "units",
    paths: /^usr\/lib\/systemd\/system\/(sysinit\.target\.wants\/)?apt-ostree-(accounts|secret-[\w-]+)\.service$/,
    kinds: ["extra"],
    why: "units of our own: at boot they bring accounts into an edited /etc and make what is secret to the host",
  },
  {
    name: "logs",
    paths: /^var\/log\//,
    kinds: ["content"],
    why: "a log tells what happened on one host: those that packages made are there, empty",
  },
  {
    name: "installation-logs",
    paths: /^var\/log\/((alternatives|dpkg|fontconfig)\.log|apt\/(history|term|eipp)\.log(\.xz)?)$/,
    kinds: ["missing"],
    why: "what happened while the packages were installed is in the journal of the daemon",
  },
  {
    name: "apt-caches",
    paths: /^var\/(cache\/apt|lib\/apt\/(lists|periodic))\//,
    kinds: ["missing", "content"],
    why: "apt makes its binary caches when it is asked next, and the daemon keeps package lists of its own",
  },
  {
    name: "dpkg-locks",
    paths: /^var\/lib\/dpkg\/(lock|lock-frontend|triggers\/Lock)$/,
    kinds: ["missing"],
    why: "a lock is a file of the process that holds it; dpkg makes it where it is not there",
  },
  {
    name: "dpkg-backups",
    paths: /^var\/(lib\/dpkg\/(status|diversions|statoverride)-old|cache\/debconf\/(config|templates|passwords)\.dat-old)$/,
    kinds: ["missing", "content"],
    why: "the database as it was before the last change of this one run; a deployment has the one before it instead",
  },
  {
    name: "account-backups",
    paths: /^etc\/(passwd|group|shadow|gshadow|subuid|subgid)-$|^etc\/\.pwd\.lock$/,
    kinds: ["missing", "extra", "content"],
    why: "shadow's lock, and its copies of the files before the last change",
  },
  {
    name: "ldconfig",
    paths: /^var\/cache\/ldconfig\/aux-cache$/,
    kinds: ["missing"],
    why: "ldconfig's notes on files by inode and time, which are others in each deployment; it makes them anew",
  },
  {
    name: "fontconfig",
    paths: /^var\/cache\/fontconfig\//,
    kinds: ["missing"],
    why: "caches of font directories by their times, which a deployment has not; fontconfig makes them anew",
  },
  {
    name: "man-index",
    paths: /^var\/cache\/man\/(CACHEDIR\.TAG$|(.*\/)?index\.db$)/,
    kinds: ["missing"],
    why: "man-db's index of the pages, which its own timer makes anew",
  },
  {
    name: "info-index",
    paths: /^usr\/share\/info\/dir$/,
    kinds: ["content"],
    why: "install-info lists the manuals in the order in which the file system has them",
    compared: (content) => content.toString("utf8").split("\n").sort().join("\n"),
  },
  {
    name: "mdadm-date",
    paths: /^etc\/mdadm\/mdadm\.conf$/,
    kinds: ["content"],
    why: "it says in a comment when it was made",
    compared: (content) => content.toString("utf8").replace(/^# This configuration was auto-generated on .*$/m, ""),
  },
  {
    name: "popularity-contest",
    paths: /^etc\/(cron\.d\/popularity-contest|popularity-contest\.conf)$/,
    kinds: ["content"],
    why: "its script makes up an identity of the host, and a time of the week at which to report",
    compared: (content) => content.toString("utf8").replace(/^(MY_HOSTID|DAY)=.*$|^\d+ \d+ /gm, ""),
  },
  {
    name: "kernel-files",
    paths: /^usr\/lib\/modules\/[^/]+\/(vmlinuz|initramfs\.img|config|System\.map)$/,
    kinds: ["extra"],
    why: "ostree takes a kernel from the directory of its modules",
  },
  {
    name: "initramfs",
    paths: /^usr\/lib\/modules\/[^/]+\/initramfs\.img$/,
    kinds: ["content"],
    why: "the deployment's own, made anew when something in it changes; apt's is in /boot",
  },
  {
    name: "boot",
    paths: /^(boot\/(vmlinuz|initrd\.img|config|System\.map)-[^/]+|(vmlinuz|initrd\.img)(\.old)?)$/,
    kinds: ["missing"],
    why: "/boot belongs to ostree, which writes kernels there when it deploys",
  },
  {
    name: "one-kernel",
    paths: /^usr\/lib\/modules\/[^/]+(\/|$)/,
    kinds: ["missing"],
    why: "ostree boots the first kernel of a tree that it finds, so the base's gives way to a layered one",
    when: (path, _plain, layered) => {
      const [kernel = ""] = /^usr\/lib\/modules\/[^/]+/.exec(path) ?? [];
      return !layered.entries.has(kernel) && [...layered.entries.keys()].some((one) => /^usr\/lib\/modules\/[^/]+\/vmlinuz$/.test(one));
    },
  },
  {
    name: "etckeeper",
    paths: /^etc\/\.git\/(index|logs\/|refs\/heads\/|objects\/)/,
    kinds: ["content", "missing", "extra"],
    why: "etckeeper's history begins at the moment of the installation, with what /etc held then",
  },
  {
    name: "bytecode",
    paths: /\.pyc$/,
    kinds: ["content"],
    why: "the header tells by time of the source whether it is stale, and a deployment has no times: there it is by hash (PEP 552)",
    compared: (content) => content.subarray(PYC_HEADER_BYTES).toString("latin1"),
  },
  {
    name: "java-keystore",
    paths: /^etc\/ssl\/certs\/java\/cacerts$/,
    kinds: ["content"],
    why: "the keystore tells when each certificate was added to it",
    compared: certificatesOf,
  },
  {
    name: "databases",
    paths: /^var\/lib\/(mysql|postgresql\/\d+\/main|ldap)\//,
    kinds: ["content"],
    why: "a database server's initial data carries an identity and times of its own making",
  },
  {
    name: "ldap-configuration",
    paths: /^etc\/ldap\/slapd\.d\/.*\.ldif$/,
    kinds: ["content"],
    why: "each entry has an identity, times, a checksum, and the administrator's password, which is made up where nobody gives one",
    compared: (content) =>
      content
        .toString("utf8")
        .split("\n")
        .filter((line) => !/^(# CRC32 |(entryUUID|entryCSN|createTimestamp|modifyTimestamp|olcRootPW):)/.test(line))
        .join("\n"),
  },
  {
    name: "secrets",
    paths: {
      test: (path) =>
        /^var\/lib\/(rabbitmq\/\.erlang\.cookie|dkms\/mok\.(key|pub))$/.test(path) ||
        (path.startsWith("etc/") && secretOf(path.slice("etc/".length)) !== undefined),
    },
    kinds: ["missing"],
    why: "what is secret to one host must be in no commit; the first boot makes it",
  },
  {
    name: "debconf-passwords",
    paths: /^var\/cache\/debconf\/passwords\.dat$/,
    kinds: ["missing", "content"],
    why: "answers that are secret to one host; debconf makes the file where it is not there",
  },
  {
    name: "secret-names",
    paths: /^etc\/ssl\/certs\/[0-9a-f]{8}\.\d$/,
    kinds: ["missing"],
    when: (path, plain) => /(^|\/)ssl-cert-snakeoil\.pem$/.test(plain.entries.get(path)?.target ?? ""),
    why: "a link to a certificate that is secret to one host, named by its hash",
  },
];

const PYC_HEADER_BYTES = 16;

/** What no exception covers, and the exceptions that were used. */
export function uncovered(
  differences: readonly Difference[],
  plain: ListedTree,
  layered: ListedTree,
): { differences: Difference[]; used: ReadonlySet<Exception> } {
  const used = new Set<Exception>();
  const left = differences.filter((difference) => {
    const exception = EXCEPTIONS.find((one) => covers(one, difference, plain, layered));
    if (exception !== undefined) used.add(exception);
    return exception === undefined;
  });
  return { differences: left, used };
}

/** Whether an exception allows a difference. */
export function covers(exception: Exception, { path, kind, plain, layered }: Difference, one: ListedTree, other: ListedTree): boolean {
  if (!exception.kinds.includes(kind) || !exception.paths.test(path)) return false;
  if (exception.when !== undefined && !exception.when(path, one, other)) return false;
  if (kind !== "content" || exception.compared === undefined || plain === null || layered === null) return true;
  return exception.compared(readFileSync(join(one.directory, plain))) === exception.compared(readFileSync(join(other.directory, layered)));
}
