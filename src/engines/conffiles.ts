/** Versions of configuration files that are not in use. */
import { exec } from "./exec.ts";

const PATTERNS = ["*.dpkg-dist", "*.dpkg-old", "*.dpkg-new", "*.dpkg-tmp", "*.ucf-dist", "*.ucf-old", "*.ucf-new"];

/** The files that dpkg(1) and ucf(1) left in a directory beside the ones in use, relative to it, sorted. */
export async function leftConfigurations(directory: string): Promise<string[]> {
  const tests = PATTERNS.flatMap((pattern, index) => [...(index === 0 ? [] : ["-o"]), "-name", pattern]);
  const { stdout } = await exec("find", [directory, "-type", "f", "(", ...tests, ")", "-printf", "%P\\0"]);
  return stdout
    .split("\0")
    .filter((path) => path !== "")
    .sort();
}
