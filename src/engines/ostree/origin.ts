/**
 * Origin files of deployments (ostree's key file format, ostree-deployment(7) has no page: see ostree_deployment_get_origin).
 * A layered deployment carries `baserefspec`, not `refspec`, so that `ostree admin upgrade` does not silently drop its layer.
 */
import type { Origin } from "../../model/sysroot.ts";

const EMPTY: Origin = { refspec: "", requested: [], inactive: [], baseCommit: "", layerKey: "", transaction: "" };

/** Parses an origin file; what is not there is empty. `commit` is the deployment's own, the base of a bare deployment. */
export function parseOrigin(text: string, commit: string): Origin {
  const values = new Map<string, string>();
  let group = "";
  for (const line of text.split("\n")) {
    const header = /^\[(.+)\]$/.exec(line.trim());
    if (header?.[1] !== undefined) group = header[1];
    const pair = /^([A-Za-z0-9-]+)\s*=\s*(.*)$/.exec(line);
    if (pair?.[1] !== undefined && pair[2] !== undefined) values.set(`${group}.${pair[1]}`, pair[2].trim());
  }
  const list = (key: string): string[] =>
    (values.get(key) ?? "")
      .split(";")
      .filter((name) => name !== "")
      .sort();
  return {
    ...EMPTY,
    refspec: values.get("origin.refspec") ?? values.get("origin.baserefspec") ?? "",
    requested: list("packages.requested"),
    inactive: list("packages.inactive"),
    baseCommit: values.get("apt-ostree.base-commit") ?? commit,
    layerKey: values.get("apt-ostree.layer-key") ?? "",
    transaction: values.get("apt-ostree.transaction") ?? "",
  };
}

/** The text of an origin file. */
export function formatOrigin(origin: Origin): string {
  const bare = origin.requested.length === 0;
  const lines = ["[origin]", `${bare ? "refspec" : "baserefspec"}=${origin.refspec}`, ""];
  const list = (names: readonly string[]): string => names.map((name) => `${name};`).join("");
  if (!bare) lines.push("[packages]", `requested=${list(origin.requested)}`, `inactive=${list(origin.inactive)}`, "");
  lines.push("[apt-ostree]", `base-commit=${origin.baseCommit}`, `layer-key=${origin.layerKey}`, `transaction=${origin.transaction}`, "");
  return lines.join("\n");
}
