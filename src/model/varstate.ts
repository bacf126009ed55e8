/**
 * What becomes of each path below /var. A commit cannot hold /var, because all deployments share it (ostree's "adapting-existing"), so
 * one table says where what packages put there goes. Paths here are relative to /var.
 */

/** Where what belongs to a deployment lies in its tree, by the path that it has below /var. */
export const STATE_DIR = "usr/lib/sysimage/var";
/** Where a tree keeps the files that a boot copies into /var. */
export const FACTORY_DIR = "usr/share/factory/var";
/** Where software for /opt and /usr/local lies in a tree: both lead into /var, and programs must change and roll back with the tree. */
export const OPT_DIR = "usr/lib/opt";
export const LOCAL_DIR = "usr/lib/usrlocal";

/**
 * Paths, files or directories, whose content describes the packages of one tree: it must change and roll back with it. The dpkg
 * database is not among them, because it has a place of its own (`usr/lib/sysimage/dpkg`). None lies within another.
 */
export const DEPLOYMENT_STATE: readonly string[] = [
  "cache/debconf",
  "cache/dictionaries-common",
  "lib/apt/extended_states",
  "lib/aspell",
  "lib/binfmts",
  "lib/dictionaries-common",
  "lib/dkms",
  "lib/doc-base",
  "lib/emacsen-common",
  "lib/ghc",
  "lib/initramfs-tools",
  "lib/ispell",
  "lib/pam",
  "lib/python",
  "lib/sgml-base",
  "lib/shells.state",
  "lib/systemd/deb-systemd-helper-enabled",
  "lib/systemd/deb-systemd-helper-masked",
  "lib/systemd/deb-systemd-user-helper-enabled",
  "lib/systemd/deb-systemd-user-helper-masked",
  "lib/tex-common",
  "lib/texmf",
  "lib/ucf",
  "lib/xml-core",
];

/**
 * What becomes of a path. "state" and "software" move to `to` below /usr, directories with all that is in them, and a link in /var
 * leads there. "directory", "link" and "pipe" are made by tmpfiles.d(5). "factory": a copy below /usr that a boot puts in place only
 * where there is nothing; "whole": the same for a directory with all that is in it. "empty": made empty, with its owner. "discard":
 * left out.
 */
export type VarFate =
  | { readonly kind: "state" | "software"; readonly to: string }
  | { readonly kind: "directory" | "link" | "pipe" | "factory" | "whole" | "empty" | "discard" };

/** One thing below /var. */
export interface VarEntry {
  readonly path: string;
  /** find(1)'s `%y`: f, d, l, p, s, b, c. */
  readonly type: string;
  /** Octal. */
  readonly mode: string;
  readonly uid: string;
  readonly gid: string;
}

/** What of an entry its name and mode do not tell. */
export interface VarFacts {
  /** It is in a package and is no configuration file of it: an upgrade of the package replaces it. */
  readonly isShipped: boolean;
  /** It and all below it belong to root. */
  readonly isRoots: boolean;
  /** It is a directory with files in it, not only below directories in it. */
  readonly hasFiles: boolean;
}

type Treatment = "state" | "keep" | "data" | "log" | "cache" | "discard" | "opt" | "local";

/** The treatment of a path and of all below it, where no longer path of the table says otherwise. */
const TREATMENTS: ReadonlyMap<string, Treatment> = new Map<string, Treatment>([
  ...all("state", DEPLOYMENT_STATE),
  // The Filesystem Hierarchy Standard's directories, and those that Debian's packages and the links of a tree add.
  ...all("keep", [
    "account",
    "agentx",
    "crash",
    "db",
    "games",
    "home",
    "local",
    "mail",
    "mnt",
    "roothome",
    "snap",
    "spool",
    "srv",
    "www",
    "xen",
    "yp",
  ]),
  ["lib", "data"],
  ["log", "log"],
  ["opt", "opt"],
  ["usrlocal", "local"],
  // Made anew by whoever needs it; the standard says so of caches. The index of manuals is made by man-db.timer and fontconfig's
  // cache at the first use: both would be out of date in a checkout, where all times are 0.
  ...all("cache", ["backups", "cache", "lib/apt/lists", "lib/apt/mirrors", "lib/apt/periodic", "lib/misc", "log/apt", "roothome/.cache"]),
  // Of one machine, of one moment, or of the sandbox.
  ...all("discard", ["lock", "run", "tmp", "lib/dbus/machine-id", "lib/dpkg", "log/alternatives.log", "log/dpkg.log", "log/fontconfig.log"]),
  // The password of Erlang's nodes, which its emulator makes at its first start (erl(1)).
  ["lib/rabbitmq/.erlang.cookie", "discard"],
  ...all(
    "discard",
    ["catalog/database", "credential.secret", "random-seed", "timers"].map((name) => `lib/systemd/${name}`),
  ),
]);

function all(treatment: Treatment, paths: readonly string[]): [string, Treatment][] {
  return paths.map((path) => [path, treatment]);
}

/** The treatments under which a directory that belongs to a service, with files in it, is one piece of data. */
const WHOLE: ReadonlySet<Treatment> = new Set<Treatment>(["data", "keep", "opt"]);

/** Names of files that are gone with the process that made them. */
const LOCK_NAMES = /(^|\/)\.?(lock|pid)$/;

/** What becomes of an entry, or null where the table does not know its top directory. */
export function varFate(entry: VarEntry, { isShipped, isRoots, hasFiles }: VarFacts): VarFate | null {
  const treatment = treatmentOf(entry.path);
  if (treatment === null) return null;
  const isFile = entry.type === "f";
  if (treatment === "state" && (isFile || entry.type === "d")) return moved("state", STATE_DIR, entry.path);
  if (treatment === "discard" || !"dlpf".includes(entry.type)) return { kind: "discard" };
  // What belongs to a service is its data, which it could not write below /usr.
  if (treatment === "opt" && (isFile || entry.type === "d") && isRoots && entry.path.includes("/"))
    return moved("software", OPT_DIR, belowTop(entry.path));
  // Packages make directories here for people to put things into, so each file moves by itself.
  if (treatment === "local" && isFile) return moved("software", LOCAL_DIR, belowTop(entry.path));
  // A database, say, in which a file that its service removed must not come back at the next boot.
  if (entry.type === "d" && entry.uid !== "0" && hasFiles && WHOLE.has(treatment)) return { kind: "whole" };
  if (!isFile) return { kind: entry.type === "d" ? "directory" : entry.type === "l" ? "link" : "pipe" };
  if (treatment === "cache" || LOCK_NAMES.test(entry.path)) return { kind: "discard" };
  if (treatment === "log") return { kind: "empty" };
  const isReplaced = treatment === "data" && isShipped && isRoots && (Number.parseInt(entry.mode, 8) & 0o022) === 0;
  return isReplaced ? moved("state", STATE_DIR, entry.path) : { kind: "factory" };
}

/** That of the longest path of the table that is the path or above it. */
function treatmentOf(path: string): Treatment | null {
  for (let above = path; above !== ""; above = above.slice(0, Math.max(above.lastIndexOf("/"), 0))) {
    const treatment = TREATMENTS.get(above);
    if (treatment !== undefined) return treatment;
  }
  return null;
}

function moved(kind: "state" | "software", to: string, path: string): VarFate {
  return { kind, to: `${to}/${path}` };
}

function belowTop(path: string): string {
  return path.slice(path.indexOf("/") + 1);
}
