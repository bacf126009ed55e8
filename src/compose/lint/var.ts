/** What the tree says of /var: a commit holds none of it, so that a boot makes it by tmpfiles.d(5). */
import { join } from "node:path";
import { DPKG_ADMIN_DIR } from "../../engines/dpkg.ts";
import { exec } from "../../engines/exec.ts";
import { escapeTmpfilesField, madeByTmpfiles } from "../../model/tmpfiles.ts";
import { DEPLOYMENT_STATE, FACTORY_DIR, STATE_DIR } from "../../model/varstate.ts";
import { exists, namesIn, readTreeFile } from "../files.ts";
import { type Finding, finder } from "./finding.ts";

const unmade = finder("error", "tmpfiles", "declare it in a file of /usr/lib/tmpfiles.d");
const unused = finder("warning", "tmpfiles", "declare it with a C line in a file of /usr/lib/tmpfiles.d, or remove it");

/** Each state of the deployment has its link in /var, each file of the factory its copy. */
export async function checkVar(tree: string): Promise<Finding[]> {
  const made = new Set(madeByTmpfiles(await tmpfilesOf(tree)));
  const problems: Finding[] = [];
  const links = [["lib/dpkg", DPKG_ADMIN_DIR], ...DEPLOYMENT_STATE.map((path) => [path, `${STATE_DIR}/${path}`])] as [string, string][];
  for (const [path, state] of links) {
    if ((await exists(tree, state)) && !made.has(`/var/${path}`))
      problems.push(unmade(`/var/${path}`, `nothing makes it, and /${state} is its content`));
  }
  for (const path of await factoryFiles(tree)) {
    if (!isCopied(path, made)) problems.push(unused(`/${FACTORY_DIR}/${path}`, "no boot copies it into /var"));
  }
  return problems;
}

async function tmpfilesOf(tree: string): Promise<string> {
  const names = (await namesIn(tree, "usr/lib/tmpfiles.d")).filter((name) => name.endsWith(".conf"));
  return (await Promise.all(names.map((name) => readTreeFile(tree, `usr/lib/tmpfiles.d/${name}`)))).join("\n");
}

async function factoryFiles(tree: string): Promise<string[]> {
  if (!(await exists(tree, FACTORY_DIR))) return [];
  const { stdout } = await exec("find", [join(tree, FACTORY_DIR), "-type", "f", "-printf", "%P\\0"]);
  return stdout.split("\0").filter((path) => path !== "");
}

/** By a line for it or for a directory above it. */
function isCopied(path: string, made: ReadonlySet<string>): boolean {
  const parts = path.split("/");
  return parts.some((_, index) => made.has(escapeTmpfilesField(`/var/${parts.slice(0, index + 1).join("/")}`)));
}
