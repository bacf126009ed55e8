/** Package names as people write them, checked: nothing reaches a command line unchecked. */
import { AptOstreeError } from "./errors.ts";

/** A package name by Debian policy 5.6.7, with an optional architecture and an optional "=version" or "/suite" (apt-get(8)). */
const PACKAGE_SPEC = /^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?([=/][A-Za-z0-9.+:~-]+)?$/;
/** A pattern of names as apt takes them (fnmatch(3), without sets), or a task of tasksel(8) with apt's mark "^". */
const PATTERN = /^(?=.*[*?])[a-z0-9*?][a-z0-9+.*?-]*$|^[a-z0-9][a-z0-9+.-]+\^$/;
const MAX_SPEC_LENGTH = 256;

/** Checks one package as a person names it. Throws InvalidRequest. */
export function checkPackageSpec(spec: string): string {
  if (spec.length > MAX_SPEC_LENGTH || !(PACKAGE_SPEC.test(spec) || isPattern(spec))) {
    throw new AptOstreeError(
      "InvalidRequest",
      `cannot use ${JSON.stringify(spec.slice(0, MAX_SPEC_LENGTH))} as a package name: it is not NAME, NAME:ARCH, NAME=VERSION, NAME/SUITE, a pattern of names or TASK^`,
      {
        details: { package: spec.slice(0, MAX_SPEC_LENGTH) },
      },
    );
  }
  return spec;
}

/** Whether it stands for any number of packages: a pattern ("fonts-*") or a task ("ssh-server^"). */
export function isPattern(spec: string): boolean {
  return PATTERN.test(spec);
}

/** The bare name of a package spec: "vim" of "vim:amd64=2:9.1". */
export function packageName(spec: string): string {
  return spec.replace(/[:=/].*$/, "");
}

/**
 * Whether a name is one of those that a pattern stands for: "*" for any characters, "?" for one, as in fnmatch(3). Where the characters
 * behind a "*" do not follow, only the last "*" takes one more: the steps are at most the product of both lengths, whatever the pattern.
 */
export function matchesPattern(name: string, pattern: string): boolean {
  let [at, next] = [0, 0];
  let star: { readonly after: number; taken: number } | null = null;
  while (at < name.length) {
    if (pattern[next] === "*") {
      next += 1;
      star = { after: next, taken: at };
    } else if (pattern[next] === "?" || pattern[next] === name[at]) {
      at += 1;
      next += 1;
    } else if (star !== null) {
      star.taken += 1;
      at = star.taken;
      next = star.after;
    } else return false;
  }
  while (pattern[next] === "*") next += 1;
  return next === pattern.length;
}
