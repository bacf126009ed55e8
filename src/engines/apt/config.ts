/**
 * apt's options for each purpose. They are given on the command line: a file named by `APT_CONFIG` is read before
 * `/etc/apt/apt.conf.d`, which could then take them back (apt.conf(5)). apt's `Dir` options do not redirect dpkg, hence
 * `Dir::Bin::dpkg` in everything that only plans.
 */

/** Where the sandboxes have things. */
export const INSIDE = {
  lists: "/var/lib/apt/lists",
  archives: "/var/cache/apt/archives",
  /** Not below /var, where a place to bind it on would become a part of the layer. */
  cache: "/run/apt-ostree/cache",
  /** The `/etc/apt` of the running system, where the tree's own must stay visible as it is. */
  sources: "/run/apt-ostree/etc-apt",
  /** Local packages, by their hashes. */
  locals: "/run/apt-ostree/locals",
  /** A configuration file for what has no command line of ours. */
  config: "/run/apt-ostree/apt.conf",
  /** Auto and manual marks belong to the deployment, so they live under /usr. */
  extendedStates: "/usr/lib/sysimage/var/lib/apt/extended_states",
} as const;

/** Option and value, in order; an option that ends in "::" appends to a list and may stand several times. */
export type AptConfig = readonly (readonly [option: string, value: string])[];

/** What every apt program of ours goes by. */
export const COMMON_CONFIG: AptConfig = [
  ["Dir::State::lists", INSIDE.lists],
  ["Dir::State::extended_states", INSIDE.extendedStates],
  ["Dir::Cache::archives", INSIDE.archives],
  ["Dir::Cache::pkgcache", `${INSIDE.cache}/pkgcache.bin`],
  ["Dir::Cache::srcpkgcache", `${INSIDE.cache}/srcpkgcache.bin`],
  ["Acquire::Languages", "none"],
  ["Acquire::GzipIndexes", "false"],
  ["Debug::NoLocking", "true"],
  ["Dir::Log::Planner", ""],
];

/** Planning: reads, prints, changes nothing. */
export const PLAN_CONFIG: AptConfig = [...COMMON_CONFIG, ["Dir::Bin::dpkg", "/bin/false"], ["APT::Get::Assume-Yes", "true"]];

/** Refreshing the package lists: any list that cannot be had is an error, not a warning. */
export const REFRESH_CONFIG: AptConfig = [
  ...COMMON_CONFIG,
  ["Dir::Bin::dpkg", "/bin/false"],
  ["APT::Update::Error-Mode", "any"],
  ["Acquire::PDiffs", "false"],
  ["Acquire::Retries", "3"],
];

/** Installing inside the sandbox: the archives are there, nobody can answer questions, output comes in lines. */
export const INSTALL_CONFIG: AptConfig = [
  ...COMMON_CONFIG,
  ["Dir::Etc::sourcelist", `${INSIDE.sources}/sources.list`],
  ["Dir::Etc::sourceparts", `${INSIDE.sources}/sources.list.d`],
  ["Dir::Etc::preferences", `${INSIDE.sources}/preferences`],
  ["Dir::Etc::preferencesparts", `${INSIDE.sources}/preferences.d`],
  ["Dir::Log", "/run/apt-ostree/log"],
  ["APT::Get::Assume-Yes", "true"],
  ["APT::Get::Download", "false"],
  ["APT::Sandbox::User", "root"],
  ["APT::Status-Fd", "3"],
  ["APT::Keep-Fds::", "3"],
  ["Dpkg::Use-Pty", "false"],
  ["DPkg::Options::", "--force-confdef"],
  ["DPkg::Options::", "--force-confold"],
];

/** The command-line form of a configuration. */
export function aptOptions(config: AptConfig): string[] {
  return config.flatMap(([option, value]) => ["-o", `${option}=${value}`]);
}
