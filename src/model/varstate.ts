/** What of /var belongs to a deployment, although packages keep it in a directory that all deployments share. */

/**
 * Paths below /var, files or directories, whose content describes the packages of one tree: it must change and roll back with
 * it. Trees hold them below `usr/lib/sysimage/var`, with links in /var made by tmpfiles.d(5). The dpkg database is not among
 * them, because it has a place of its own (`usr/lib/sysimage/dpkg`). None lies within another.
 */
export const DEPLOYMENT_STATE: readonly string[] = [
  "cache/debconf",
  "cache/dictionaries-common",
  "lib/apt/extended_states",
  "lib/aspell",
  "lib/binfmts",
  "lib/dictionaries-common",
  "lib/doc-base",
  "lib/emacsen-common",
  "lib/initramfs-tools",
  "lib/ispell",
  "lib/pam",
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
