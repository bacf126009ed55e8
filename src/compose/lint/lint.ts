/** The last look at a tree: what would not deploy, not boot, or not be the same on two machines is refused by name, with what to do. */
import { AptOstreeError } from "../../model/errors.ts";
import { checkAccounts } from "./accounts.ts";
import { checkEntries } from "./entries.ts";
import type { Check, Finding } from "./finding.ts";
import { checkLinks } from "./links.ts";
import { checkPackages } from "./packages.ts";
import { checkSecrets } from "./secrets.ts";
import { checkForbidden, checkKernel, checkTop } from "./shape.ts";
import { checkVar } from "./var.ts";

const CHECKS: readonly Check[] = [
  checkTop,
  checkForbidden,
  checkKernel,
  checkEntries,
  checkVar,
  checkAccounts,
  checkSecrets,
  checkPackages,
  checkLinks,
];

/** Everything that there is to say about a tree in OSTree shape, errors first; empty where it is fine. */
export async function lint(tree: string): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const check of CHECKS) found.push(...(await check(tree)));
  return [...found.filter(isError), ...found.filter((finding) => !isError(finding))];
}

/** Whether a finding is one that a tree is refused for. */
export function isError({ severity }: Finding): boolean {
  return severity === "error";
}

const SHOWN = 10;

/** Throws LayerInvalid naming every path that is wrong. */
export async function requireClean(tree: string): Promise<void> {
  const problems = (await lint(tree)).filter(isError);
  if (problems.length === 0) return;
  const shown = problems.slice(0, SHOWN).map(({ path, why }) => `${path}: ${why}`);
  const more = problems.length > shown.length ? `; and ${problems.length - shown.length} more` : "";
  throw new AptOstreeError("LayerInvalid", `cannot commit the tree: ${shown.join("; ")}${more}`, { details: { problems } });
}
