/** Taking out of a tree what must be of one host alone, and naming the keys that stay. */
import { readlink, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { formatSecretUnit, type HostSecret, secretOf, secretUnit } from "../model/secrets.ts";
import { exec } from "./exec.ts";
import { addBootUnit } from "./units.ts";

/** Removes known secrets, with the links that lead to them by hash (openssl-rehash(1)), from a tree whose /etc is at `etc`, and declares the units that make them at boot. */
export async function removeSecrets(root: string, etc: "etc" | "usr/etc"): Promise<void> {
  const { stdout } = await exec("find", [join(root, etc), "(", "-type", "f", "-o", "-type", "l", ")", "-printf", "%y%P\\0"], {
    okStatuses: [0, 1],
  });
  const found = new Set<HostSecret>();
  const removed = new Set<string>();
  const records = stdout.split("\0").filter((record) => record !== "");
  for (const path of records.map((record) => record.slice(1))) {
    const secret = secretOf(path);
    if (secret === undefined) continue;
    found.add(secret);
    removed.add(`/etc/${path}`);
    await rm(join(root, etc, path));
  }
  if (found.size === 0) return;
  // Directories of certificates have links by hash, which are made with the certificate. A link of another name is configuration.
  for (const path of records.filter((record) => /^l(.*\/)?[0-9a-f]{8}\.r?\d+$/.test(record)).map((record) => record.slice(1))) {
    if (removed.has(`/etc/${path}`)) continue;
    const target = resolve(dirname(`/etc/${path}`), await readlink(join(root, etc, path)));
    if (removed.has(target)) await rm(join(root, etc, path));
  }
  for (const secret of found) await addBootUnit(root, secretUnit(secret), formatSecretUnit(secret));
}

const MAX_KEY_SIZE = "-64k";

/**
 * The private keys (PEM, RFC 7468) in some directories that no package ships, so scripts must have made them; absolute paths there. Nobody
 * knows how to make them again, and each has a certificate or a configuration beside it that must fit, so they stay in the layer: it is made
 * on this host and used by no other, unless somebody publishes it.
 */
export async function generatedKeys(directories: readonly string[], isShipped: (path: string) => boolean): Promise<string[]> {
  const grep = ["-exec", "grep", "-lZE", "-e", "^-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----", "--", "{}", "+"];
  const { stdout } = await exec("find", [...directories, "-type", "f", "-size", MAX_KEY_SIZE, ...grep], { okStatuses: [0, 1] });
  return stdout
    .split("\0")
    .filter((path) => path !== "" && !isShipped(path))
    .sort();
}
