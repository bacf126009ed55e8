/**
 * What goes wrong when Debian is put on OSTree, and the test that shows that here it does not. Titles are parts of the names of tests;
 * `test/unit/pitfalls.test.ts` holds them to the files. A set is one of `test/fidelity/lists/full.list`: layered and compared with apt.
 */

/** Where it is shown. */
export type Proof = { readonly file: string; readonly title: string } | { readonly set: string };

/** One pitfall. */
export interface Pitfall {
  readonly what: string;
  readonly proofs: readonly Proof[];
  /** Why nothing shows it. */
  readonly open?: string;
}

const e2e = (file: string, title: string): Proof => ({ file: `e2e/${file}`, title });
const unit = (file: string, title: string): Proof => ({ file: `unit/${file}`, title });
const integration = (file: string, title: string): Proof => ({ file: `integration/${file}`, title });
const set = (name: string): Proof => ({ set: name });

const NOTHING_LEFT = e2e("crash", "while assembling leaves no process and no mount");
const COMPOSED = (title: string): Proof => integration("compose", title);

/** In the order of the field's own list, from 1. */
export const PITFALLS: readonly Pitfall[] = [
  { what: "apt's Dir options do not redirect dpkg", proofs: [unit("aptoptions", "a dpkg that does nothing")] },
  { what: "-qq means yes", proofs: [unit("aptoptions", "takes yes for an answer")] },
  { what: "apt-get has no --root", proofs: [unit("aptoptions", "a root that it does not know"), integration("fetchplan", "real apt refreshes")] },
  { what: "/etc as a link breaks relative links", proofs: [set("postgresql")] },
  {
    what: "a left-over /etc in a commit",
    proofs: [integration("lint", "is checked where it lies"), e2e("layering", "after a reboot the program is there")],
  },
  { what: "committing the whole merged tree", proofs: [e2e("sequences", "is the same when the same plan is built again")] },
  { what: "overlayfs's attributes in a commit", proofs: [set("tree")] },
  { what: "whiteouts in a commit", proofs: [e2e("packages", "may divert a file of the base, remove one")] },
  { what: "opaque directories ignored", proofs: [e2e("packages", "replace a directory")] },
  {
    what: "writing through a hardlinked checkout",
    proofs: [e2e("packages", "the base's tree does not"), e2e("scripts", "removes everything removes nothing outside")],
  },
  { what: "debris at the top of the tree", proofs: [e2e("scripts", "a file at the top of the tree is refused by path")] },
  { what: "one dpkg database for all deployments", proofs: [e2e("paths", "into dpkg's and apt's databases changes and rolls back")] },
  { what: "apt's tmpfiles.d wins over the link to the database", proofs: [COMPOSED("has its dpkg database, complete, on a first boot")] },
  { what: "auto marks shared by all deployments", proofs: [e2e("paths", "overrides, marks")] },
  {
    what: "what scripts put into /var thrown away",
    proofs: [e2e("packages", "has its data under /var and /opt after the next boot"), set("mariadb-server")],
  },
  {
    what: "what scripts put into /var overwrites data",
    proofs: [e2e("packages", "is not overwritten later"), COMPOSED("does not overwrite what is in /var already")],
  },
  { what: "numbers of accounts drift", proofs: [e2e("accounts", "has its number for good")] },
  {
    what: "/etc/passwd merged away",
    proofs: [e2e("hostile", "whose /etc/passwd has been edited"), e2e("accounts", "the host's /etc/group was edited")],
  },
  {
    what: "people's accounts in a commit",
    proofs: [e2e("accounts", "which stays on the host with its password"), COMPOSED("no accounts of the builder")],
  },
  {
    what: "keys and machine ids in a commit",
    proofs: [e2e("paths", "in place of a secret of the host is not in the commit"), set("openssh-server")],
  },
  { what: "stale bytecode", proofs: [e2e("paths", "into bytecode fits a checkout"), COMPOSED("has bytecode that a checkout")] },
  { what: "caches made for other times", proofs: [set("flatpak")] },
  { what: ".updated in a commit", proofs: [integration("lint", "is checked where it lies")] },
  { what: "policy-rc.d left in the tree", proofs: [e2e("hostile", "brings a policy of its own keeps it")] },
  { what: "start-stop-daemon diverted in the tree", proofs: [set("cron")] },
  { what: "systemctl in scripts speaks to the host", proofs: [e2e("hostile", "starts services starts none, and is enabled")] },
  {
    what: "scripts see the host",
    proofs: [e2e("packages", "sees in its scripts no network, no process and no file"), e2e("scripts", "kills everything it can see")],
  },
  {
    what: "scripts that need the network",
    proofs: [e2e("network", "has none, and is told how to get it"), e2e("network", "has the host's with --script-network")],
  },
  { what: "debconf waits for a person", proofs: [e2e("scripts", "hangs is ended when its time is up"), e2e("configured", "the answers to debconf")] },
  { what: "a question about a configuration file", proofs: [e2e("layering", "keeps the configuration file of a package that a person edited")] },
  { what: "left-over configuration files", proofs: [e2e("paths", "beside a configuration file of the base is told and left out")] },
  { what: "triggers that never run", proofs: [e2e("kernel", "has it made once, at the end"), set("nginx+vim+git")] },
  { what: "a kernel in /boot, modules without an initramfs", proofs: [e2e("kernel", "a kernel boots that kernel and has no other")] },
  { what: "two kernels in a tree", proofs: [e2e("kernel", "two kernels is refused by their names"), e2e("kernel", "has no other")] },
  { what: "scripts that write the host's /boot", proofs: [e2e("kernel", "/boot of the host changes by ostree alone")] },
  { what: "update-alternatives on a booted host", proofs: [e2e("paths", "alternatives, diversions"), e2e("guard", "dpkg is refused likewise")] },
  { what: "diversions and overrides lost", proofs: [e2e("paths", "alternatives, diversions, overrides")] },
  {
    what: "setuid bits and capabilities lost",
    proofs: [e2e("packages", "keeps setuid bits, modes, owners, hardlinks, symlinks and file capabilities")],
  },
  { what: "/opt hidden", proofs: [e2e("paths", "below /opt and /usr/local is there after the boot")] },
  { what: "a new directory at the top", proofs: [e2e("paths", "a directory at the top is there after the boot")] },
  { what: "devices, pipes and sockets", proofs: [e2e("scripts", "makes a pipe, a socket"), e2e("scripts", "makes a device cannot")] },
  {
    what: "base packages changed in silence",
    proofs: [e2e("requests", "that would remove or replace a package of the base is refused with the list")],
  },
  { what: "a request that the base satisfies later", proofs: [e2e("upgrade", "a package that the new base brings itself")] },
  {
    what: "a requested package that is gone",
    proofs: [e2e("requests", "for unknown packages lists all of them"), e2e("requests", "by an archive that its own lists still name")],
  },
  { what: "versions and suites forgotten", proofs: [e2e("configured", "the suite that a package is asked from, then and at each upgrade")] },
  { what: "a local file that is deleted", proofs: [e2e("local", "outlive their source")] },
  { what: "holds ignored", proofs: [e2e("configured", "holds of the base")] },
  { what: "foreign architectures", proofs: [e2e("configured", "the architectures that apt is configured for")] },
  { what: "stale lists", proofs: [e2e("requests", "by having a newer version than the lists know")] },
  { what: "a killed daemon leaves parts", proofs: [NOTHING_LEFT, e2e("crash", "at any moment leaves the old deployments or the new one")] },
  { what: "mounts leak", proofs: [NOTHING_LEFT, e2e("scripts", "leaves a process behind")] },
  { what: "a full disk", proofs: [e2e("disk", "leaves the old state intact")] },
  { what: "pruning beside a pull or a commit", proofs: [unit("locks", "nobody shares what excludes")] },
  { what: "a full /boot", proofs: [], open: "ostree keeps the old entry; no test has a /boot of its own that could be full" },
  { what: "edits of /etc after a deployment is written", proofs: [e2e("layering", "what was edited in /etc meanwhile is kept")] },
  { what: "deletions in /etc come back", proofs: [e2e("layering", "what was deleted stays so")] },
  { what: "names and resolvers of the builder", proofs: [e2e("network", "the host's resolver is not in the tree"), COMPOSED("no name, no network")] },
  { what: "output that depends on the locale", proofs: [unit("exec", "speaks one language, whatever the machine's")] },
  {
    what: "options in names of packages",
    proofs: [unit("names", "is safe on any command line"), e2e("requests", "with a name that looks like an option never reaches apt")],
  },
  {
    what: "trees that differ from build to build",
    proofs: [e2e("sequences", "is the same when the same plan is built again"), COMPOSED("from its lock file gives the same tree, bit for bit")],
  },
  { what: "directories that nobody can remove", proofs: [e2e("layering", "cleanup removes what it is told to")] },
  { what: "immutable deployment directories", proofs: [e2e("layering", "cleanup removes what it is told to")] },
];
