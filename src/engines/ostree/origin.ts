/**
 * Origin files of deployments (ostree's key file format, ostree-deployment(7) has no page: see ostree_deployment_get_origin).
 * A layered deployment carries `baserefspec`, not `refspec`, so that `ostree admin upgrade` does not silently drop its layer.
 */
import type { Origin } from "../../model/sysroot.ts";
import { isBare } from "../../model/tree.ts";
import { parseKeyFile } from "./keyfile.ts";

/** Parses an origin file; what is not there is empty. `commit` is the deployment's own, the base of a bare deployment. */
export function parseOrigin(text: string, commit: string): Origin {
  const groups = parseKeyFile(text);
  const value = (path: string): string | undefined => {
    const [group = "", key = ""] = path.split(".");
    return groups.get(group)?.get(key);
  };
  const list = (key: string): string[] =>
    (value(key) ?? "")
      .split(";")
      .filter((name) => name !== "")
      .sort();
  return {
    refspec: value("origin.refspec") ?? value("origin.baserefspec") ?? "",
    baseCommit: value("apt-ostree.base-commit") ?? commit,
    followsApt: value("apt-ostree.base") === "follows apt",
    requested: list("packages.requested"),
    requestedLocal: list("packages.requested-local"),
    removed: list("overrides.remove"),
    replaced: list("overrides.replace"),
    replacedLocal: list("overrides.replace-local"),
    inactive: list("packages.inactive"),
    layerKey: value("apt-ostree.layer-key") ?? "",
    transaction: value("apt-ostree.transaction") ?? "",
  };
}

/** The text of an origin file. */
export function formatOrigin(origin: Origin): string {
  const bare = isBare(origin);
  const list = (key: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : [`${key}=${names.map((name) => `${name};`).join("")}`];
  const group = (name: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : [`[${name}]`, ...lines, ""]);
  const { requested, requestedLocal, inactive, removed, replaced, replacedLocal } = origin;
  return [
    ...group("origin", [`${bare ? "refspec" : "baserefspec"}=${origin.refspec}`]),
    ...group("packages", [...list("requested", requested), ...list("requested-local", requestedLocal), ...list("inactive", inactive)]),
    ...group("overrides", [...list("remove", removed), ...list("replace", replaced), ...list("replace-local", replacedLocal)]),
    ...group("apt-ostree", [
      `base-commit=${origin.baseCommit}`,
      ...(origin.followsApt ? ["base=follows apt"] : []),
      `layer-key=${origin.layerKey}`,
      `transaction=${origin.transaction}`,
    ]),
  ].join("\n");
}
