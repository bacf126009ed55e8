/**
 * What packages generate while they are configured and what must be of one host alone: keys and names. A commit may be deployed on many
 * hosts, and the same plan must give the same tree, so these are left out and made at the first boot that lacks them.
 */

/** Files of one host that a package generates. */
export interface HostSecret {
  /** Of the package, and in the name of the unit. */
  readonly name: string;
  /** The files, relative to /etc. */
  readonly files: RegExp;
  /** Where nothing matches this (a pattern of glob(7)), they are made. */
  readonly sentinel: string;
  /** What the package's own script does, as a command of sh(1) without "'", "$" and "%". */
  readonly command: string;
}

/** Every such package that is known, with what its maintainer script calls. */
export const HOST_SECRETS: readonly HostSecret[] = [
  { name: "openssh-server", files: /^ssh\/ssh_host_\w+_key(\.pub)?$/, sentinel: "/etc/ssh/ssh_host_*_key", command: "ssh-keygen -A" },
  {
    name: "ssl-cert",
    files: /^ssl\/(private\/ssl-cert-snakeoil\.key|certs\/ssl-cert-snakeoil\.pem)$/,
    sentinel: "/etc/ssl/private/ssl-cert-snakeoil.key",
    command: "make-ssl-cert generate-default-snakeoil",
  },
  {
    name: "bind9",
    files: /^bind\/rndc\.key$/,
    sentinel: "/etc/bind/rndc.key",
    command: "rndc-confgen -a && chown bind:bind /etc/bind/rndc.key && chmod 640 /etc/bind/rndc.key",
  },
  { name: "munge", files: /^munge\/munge\.key$/, sentinel: "/etc/munge/munge.key", command: "runuser -u munge -- mungekey -c" },
  {
    name: "nvme-cli",
    files: /^nvme\/host(nqn|id)$/,
    sentinel: "/etc/nvme/hostnqn",
    command: "nvme gen-hostnqn >/etc/nvme/hostnqn && cat /proc/sys/kernel/random/uuid >/etc/nvme/hostid",
  },
  {
    name: "open-iscsi",
    files: /^iscsi\/initiatorname\.iscsi$/,
    sentinel: "/etc/iscsi/initiatorname.iscsi",
    command: "umask 077 && { printf InitiatorName= && iscsi-iname -p iqn.1993-08.org.debian:01; } >/etc/iscsi/initiatorname.iscsi",
  },
];

/** The secret that a file, relative to /etc, is part of. */
export function secretOf(path: string): HostSecret | undefined {
  return HOST_SECRETS.find(({ files }) => files.test(path));
}

/** The name of the unit that makes a secret. */
export function secretUnit(secret: HostSecret): string {
  return `apt-ostree-secret-${secret.name}.service`;
}

/** The unit (systemd.service(5)): before any service starts, with accounts and temporary files in place. */
export function formatSecretUnit({ name, sentinel, command }: HostSecret): string {
  return `[Unit]
Description=Keys and names of this host for ${name}
DefaultDependencies=no
ConditionPathExistsGlob=!${sentinel}
After=local-fs.target systemd-sysusers.service systemd-tmpfiles-setup.service
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c '${command}'
`;
}
