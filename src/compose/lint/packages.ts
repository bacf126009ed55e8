/** The dpkg database of a tree, by dpkg's own judgement. */
import { join } from "node:path";
import { audit, DPKG_ADMIN_DIR, listPackageStates } from "../../engines/dpkg.ts";
import { exists } from "../files.ts";
import { type Finding, finder } from "./finding.ts";

const broken = finder("error", "dpkg", "finish with dpkg --configure -a in the tree, or take the package out of the treefile");

/** Every package is installed as it should be, and `dpkg --audit` has nothing to say. */
export async function checkPackages(tree: string): Promise<Finding[]> {
  const path = `/${DPKG_ADMIN_DIR}`;
  if (!(await exists(tree, `${DPKG_ADMIN_DIR}/status`))) return [broken(`${path}/status`, "it is missing")];
  const unfinished = (await listPackageStates(join(tree, DPKG_ADMIN_DIR))).filter((state) => !/^[ih]i $|^[rpu][nc] $/.test(state.abbrev));
  if (unfinished.length > 0)
    return [broken(path, `not installed as they should be: ${unfinished.map((state) => `${state.name} (${state.abbrev.trim()})`).join(", ")}`)];
  const said = (await audit(join(tree, DPKG_ADMIN_DIR))).trim();
  return said === "" ? [] : [broken(path, said.split("\n")[0] ?? said)];
}
