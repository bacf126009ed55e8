/** `apt-ostree compose lint`: what there is to say about a commit of a repository. */
import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { ostreeRepo } from "../../engines/ostree/ostree.ts";
import { AptOstreeError } from "../../model/errors.ts";
import { inWorkDirectory } from "../work.ts";
import type { Finding } from "./finding.ts";
import { isError, lint } from "./lint.ts";

/** What `lintCommit` found. */
export interface LintResult {
  readonly commit: string;
  readonly errors: number;
  readonly warnings: number;
  readonly findings: readonly Finding[];
}

/**
 * Checks a commit, or the one that a ref stands for, in a checkout that is removed afterwards. Needs root. Throws NotFound where the
 * repository has no such commit.
 */
export async function lintCommit(repository: string, rev: string): Promise<LintResult> {
  const repo = await realpath(repository).catch((error: Error) => {
    throw new AptOstreeError("NotFound", `cannot read the repository ${repository}: ${error.message}`, { cause: error });
  });
  const commit = (await ostreeRepo({ repo }, `find ${rev} in ${repository}`, ["rev-parse", rev])).trim();
  const findings = await inWorkDirectory(join(repo, "extensions/apt-ostree/lint"), async (directory) => {
    const tree = join(directory, "tree");
    await ostreeRepo({ repo }, `check out ${rev}`, ["checkout", commit, tree]);
    return await lint(tree);
  });
  const errors = findings.filter(isError).length;
  return { commit, errors, warnings: findings.length - errors, findings };
}

/** The result as lines of text: each finding with what to do, and the count. */
export function formatLint({ commit, errors, warnings, findings }: LintResult): string {
  const lines = findings.flatMap(({ severity, check, path, why, remedy }) => [`${severity}: ${path}: ${why} [${check}]`, `  ${remedy}`]);
  return `${[...lines, `${commit}: ${counted(errors, "error")}, ${counted(warnings, "warning")}`].join("\n")}\n`;
}

/** Lints and prints. Throws LayerInvalid where there are errors, so that the exit status is 1. */
export async function runLint(rev: string, options: { readonly repo: string; readonly json: boolean }): Promise<void> {
  const result = await lintCommit(options.repo, rev);
  process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : formatLint(result));
  if (result.errors > 0)
    throw new AptOstreeError("LayerInvalid", `cannot recommend ${rev}: it has ${counted(result.errors, "error")}`, {
      details: { commit: result.commit },
    });
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
