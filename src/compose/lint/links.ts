/** Links that lead nowhere, of the kinds that somebody will follow: programs, alternatives, units that are enabled. */
import { readlink } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { exec } from "../../engines/exec.ts";
import { exists, kindOf } from "../files.ts";
import { type Finding, finder } from "./finding.ts";

const dangling = finder("warning", "links", "remove it, or install the package that has its target");

const FOLLOWED = ["usr/bin", "usr/sbin", "usr/etc/alternatives", "usr/etc/systemd", "usr/lib/systemd/system", "usr/lib/systemd/user"];
/** Made at boot; what is there cannot be told from a tree. */
const MADE_AT_BOOT = /^\/?(dev|proc|run|sys|tmp|var)(\/|$)/;
/** Alternatives may lead to manual pages, which many trees leave out. */
const DOCUMENTATION = /^\/?usr\/share\/(man|doc|info)\//;
/** As many as the kernel follows (path_resolution(7)). */
const MAX_LINKS = 40;

/** Links of these kinds whose target the tree does not have. */
export async function checkLinks(tree: string): Promise<Finding[]> {
  const problems: Finding[] = [];
  for (const directory of FOLLOWED) {
    if ((await kindOf(tree, directory)) !== "directory") continue;
    const { stdout } = await exec("find", [join(tree, directory), "-type", "l", "-printf", "%P\\0"]);
    for (const name of stdout.split("\0").filter((one) => one !== "")) {
      const path = `${directory}/${name}`;
      if (await leadsNowhere(tree, path)) problems.push(dangling(`/${path}`, `it leads to ${await readlink(join(tree, path))}, which is not there`));
    }
  }
  return problems;
}

/** Follows a link as the deployed system would, where /usr/etc is /etc; never out of the tree. */
async function leadsNowhere(tree: string, path: string): Promise<boolean> {
  let left = path.split("/");
  let done = "";
  for (let followed = 0; left.length > 0; ) {
    const [part = "", ...rest] = left;
    const next = done === "" && part === "etc" ? "usr/etc" : normalize(join(done, part));
    if (MADE_AT_BOOT.test(next) || DOCUMENTATION.test(next)) return false;
    const kind = await kindOf(tree, next);
    if (kind === "nothing") return true;
    left = rest;
    if (kind !== "link") {
      done = next;
      continue;
    }
    followed += 1;
    if (followed > MAX_LINKS) return true;
    const target = await readlink(join(tree, next));
    // What is relative begins at the directory that holds the link, which for /usr/etc is /etc.
    const from = dirname(next).replace(/^usr\/etc(?=\/|$)/, "etc");
    const absolute = normalize(target.startsWith("/") ? target.slice(1) : join(from, target)).replace(/^(\.\.\/)+/, "");
    left = [...absolute.split("/").filter((one) => one !== "" && one !== "."), ...rest];
    done = "";
  }
  return !(await exists(tree, done));
}
