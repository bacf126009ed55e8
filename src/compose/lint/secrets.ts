/** What identifies or opens one machine, and would be the same on every host of the tree. */
import { join } from "node:path";
import { exec } from "../../engines/exec.ts";
import { STATE_DIR } from "../../model/varstate.ts";
import { exists, kindOf, namesIn, readTreeFile } from "../files.ts";
import { type Finding, finder } from "./finding.ts";

const identity = finder("error", "identity", "remove it from the tree; a host makes its own at its first boot");
const secret = finder("error", "secret", "remove it from the tree; put it on the hosts that need it");

/** Files that name one machine, besides machine-id(5), which must be there and empty. */
const IDENTITIES = [
  "usr/etc/hostid",
  "usr/etc/nvme/hostid",
  "usr/etc/nvme/hostnqn",
  "usr/etc/iscsi/initiatorname.iscsi",
  "usr/etc/adjtime",
  "usr/lib/machine-id",
];

/** Keys of hosts, private keys, credentials, machine ids, answers that are passwords. */
export async function checkSecrets(tree: string): Promise<Finding[]> {
  const problems: Finding[] = [];
  for (const name of await namesIn(tree, "usr/etc/ssh")) {
    if (name.startsWith("ssh_host_")) problems.push(identity(`/usr/etc/ssh/${name}`, "it is a key of one machine"));
  }
  for (const name of await namesIn(tree, "usr/etc/ssl/private")) problems.push(secret(`/usr/etc/ssl/private/${name}`, "it may be a private key"));
  if ((await kindOf(tree, "usr/etc/machine-id")) !== "file" || (await readTreeFile(tree, "usr/etc/machine-id")) !== "")
    problems.push(
      finder("error", "identity", "empty the file: systemd then gives each host an id of its own")("/usr/etc/machine-id", "it is not an empty file"),
    );
  for (const path of IDENTITIES) if (await exists(tree, path)) problems.push(identity(`/${path}`, "it names one machine"));
  const credentials = ["usr/etc/apt/auth.conf", ...(await namesIn(tree, "usr/etc/apt/auth.conf.d")).map((name) => `usr/etc/apt/auth.conf.d/${name}`)];
  for (const path of credentials) if (await exists(tree, path)) problems.push(secret(`/${path}`, "it holds user names and passwords"));
  for (const name of await namesIn(tree, "usr/etc/NetworkManager/system-connections"))
    problems.push(secret(`/usr/etc/NetworkManager/system-connections/${name}`, "it is a connection of one machine, and may hold its password"));
  for (const path of await privateKeys(tree)) problems.push(secret(path, "it is a private key"));
  const answers = `${STATE_DIR}/cache/debconf/passwords.dat`;
  if (/^Value: *\S/m.test(await readTreeFile(tree, answers))) problems.push(secret(`/${answers}`, "it holds answers to debconf that are passwords"));
  return problems;
}

/** Files of /usr/etc that begin like a private key (RFC 7468); those that are found by their place are left out. */
async function privateKeys(tree: string): Promise<string[]> {
  if (!(await exists(tree, "usr/etc"))) return [];
  const pattern = "^-----BEGIN ([A-Z]+ )?PRIVATE KEY-----";
  const { stdout } = await exec("grep", ["-rlZIE", "-e", pattern, join(tree, "usr/etc")], { okStatuses: [0, 1] });
  const paths = stdout.split("\0").filter((path) => path !== "");
  return paths.map((path) => path.slice(tree.length)).filter((path) => !/^\/usr\/etc\/(ssh\/ssh_host_|ssl\/private\/)/.test(path));
}
