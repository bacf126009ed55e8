/** The small files that a sandbox's owner puts into `/run/sandbox`: process 1, the bus configuration, the stand-ins. */
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { INNER_APP, INNER_BUS, INNER_NODE, INNER_RUN } from "./layout.ts";

/**
 * What systemd does on a booted host before services start, then the bus as the process whose end is the end of the sandbox.
 * ostree takes a host for booted where /run/ostree-booted is there and / is one of the sysroot's deployments.
 */
const INIT = `#!/bin/sh
set -eu
: >/run/ostree-booted
run() {
  [ -e "$1" ] || return 0
  command=$(sed -n 's/^ExecStart=//p' "$1")
  set -- $(sed -n 's/^ConditionPathExistsGlob=!//p' "$1")
  [ $# -gt 0 ] && [ -e "$1" ] || sh -c "$command" || true
}
run /usr/lib/systemd/system/apt-ostree-accounts.service
systemd-sysusers
systemd-tmpfiles --create --prefix=/var --prefix=/run
for unit in /usr/lib/systemd/system/apt-ostree-secret-*.service; do run "$unit"; done
exec dbus-daemon --config-file=${INNER_RUN}/bus.conf --nofork --nopidfile
`;

/** Only root may connect; the limits are far above what tests with many clients need. dbus-daemon(1). */
const BUS_CONFIG = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>${INNER_BUS}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <deny user="*"/>
    <allow user="root"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*" eavesdrop="false"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_message_size">1000000000</limit>
  <limit name="max_completed_connections">10000</limit>
  <limit name="max_incomplete_connections">1000</limit>
  <limit name="max_connections_per_user">10000</limit>
  <limit name="max_pending_service_starts">1000</limit>
  <limit name="max_names_per_connection">10000</limit>
  <limit name="max_match_rules_per_connection">10000</limit>
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
`;

/** No systemd runs inside: what ostree and the daemon ask of it is noted and granted. */
const SYSTEMCTL = `#!/bin/sh
echo "systemctl $*" >>${INNER_RUN}/systemctl.log
exit 0
`;

/** The command line, for people in \`npm start -- shell\`. */
const CLI = `#!/bin/sh
export APT_OSTREE_BUS="\${APT_OSTREE_BUS:-${INNER_BUS}}"
exec ${INNER_NODE} ${INNER_APP}/dist/src/cli.js "$@"
`;

/** Makes the run directory anew. Returns nothing; the names are fixed. */
export async function writeRunFiles(run: string): Promise<void> {
  await rm(run, { recursive: true, force: true });
  await mkdir(join(run, "bin"), { recursive: true, mode: 0o700 });
  await writeFile(join(run, "bus.conf"), BUS_CONFIG);
  for (const [name, text] of Object.entries({ init: INIT, systemctl: SYSTEMCTL, "bin/apt-ostree": CLI })) {
    await writeFile(join(run, name), text);
    await chmod(join(run, name), 0o755);
  }
}

/**
 * Gives a deployment the names of the network it is in, as a network manager would: resolv.conf, and hosts where the base has none.
 * Its /etc is a real one, so what is written here stays and is merged into the next deployment.
 */
export async function writeNetworkFiles(etc: string): Promise<void> {
  await replaceByCopy("/etc/resolv.conf", join(etc, "resolv.conf"));
  const hosts = await readFile(join(etc, "hosts"), "utf8").catch(() => "");
  if (hosts.trim() === "") await replaceByCopy("/etc/hosts", join(etc, "hosts"));
}

async function replaceByCopy(source: string, target: string): Promise<void> {
  const text = await readFile(source, "utf8").catch(() => null);
  if (text === null || text === (await readFile(target, "utf8").catch(() => null))) return;
  await rm(target, { force: true });
  await copyFile(source, target);
}
