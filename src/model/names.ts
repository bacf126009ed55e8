/** Validation of what people and programs send: package names and requests. Nothing reaches a command line unchecked. */
import { AptOstreeError } from "./errors.ts";
import { isId } from "./ids.ts";
import { CLEANUP_TARGETS, type CleanupTarget, KINDS, type Kind, type Request } from "./transaction.ts";

/** A package name by Debian policy 5.6.7, with an optional architecture and an optional "=version" or "/suite" (apt-get(8)). */
const PACKAGE_SPEC = /^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?([=/][A-Za-z0-9.+:~-]+)?$/;
/** apt reads a trailing "+" or "-" as "install" or "remove", so a bare name may not end so, save where the package is so named. */
const MAX_PACKAGES = 2000;
const MAX_SPEC_LENGTH = 256;

/** Checks one package as a person names it. Throws InvalidRequest. */
export function checkPackageSpec(spec: string): string {
  if (spec.length > MAX_SPEC_LENGTH || !PACKAGE_SPEC.test(spec)) {
    throw new AptOstreeError(
      "InvalidRequest",
      `cannot use ${JSON.stringify(spec.slice(0, MAX_SPEC_LENGTH))} as a package name: it is not NAME, NAME:ARCH, NAME=VERSION or NAME/SUITE`,
      {
        details: { package: spec.slice(0, MAX_SPEC_LENGTH) },
      },
    );
  }
  return spec;
}

/** The bare name of a package spec: "vim" of "vim:amd64=2:9.1". */
export function packageName(spec: string): string {
  return spec.replace(/[:=/].*$/, "");
}

/** What a request is made of besides its kind; each kind takes some of them. */
export interface RequestValues {
  readonly packages?: readonly string[];
  readonly targets?: readonly string[];
  readonly idempotent?: boolean;
  readonly undoes?: string;
}

/** Builds a request from untrusted values. Throws InvalidRequest. */
export function makeRequest(kind: string, values: RequestValues = {}): Request {
  if (!(KINDS as readonly string[]).includes(kind))
    throw new AptOstreeError("InvalidRequest", `cannot ${JSON.stringify(kind.slice(0, 40))}: no such kind of transaction`);
  const packages = [...new Set((values.packages ?? []).map(checkPackageSpec))].sort();
  if (packages.length > MAX_PACKAGES) throw new AptOstreeError("InvalidRequest", `cannot ${kind}: more than ${MAX_PACKAGES} packages in one request`);
  const takesPackages = kind === "install" || kind === "uninstall" || kind === "prefetch";
  if (!takesPackages && packages.length > 0) throw new AptOstreeError("InvalidRequest", `cannot ${kind}: it takes no packages`);
  if ((kind === "install" || kind === "uninstall") && packages.length === 0)
    throw new AptOstreeError("InvalidRequest", `cannot ${kind}: no package named`);
  const targets = [...new Set(values.targets ?? [])].sort();
  for (const target of targets) {
    if (!(CLEANUP_TARGETS as readonly string[]).includes(target))
      throw new AptOstreeError(
        "InvalidRequest",
        `cannot clean up ${JSON.stringify(target.slice(0, 40))}: it is not one of ${CLEANUP_TARGETS.join(", ")}`,
      );
  }
  if (kind === "cleanup" && targets.length === 0) throw new AptOstreeError("InvalidRequest", "cannot cleanup: nothing named to remove");
  if (kind !== "cleanup" && targets.length > 0) throw new AptOstreeError("InvalidRequest", `cannot ${kind}: it takes no targets`);
  const { undoes } = values;
  if (kind === "undo" && undoes === undefined) throw new AptOstreeError("InvalidRequest", "cannot undo: no transaction named");
  if (kind !== "undo" && undoes !== undefined) throw new AptOstreeError("InvalidRequest", `cannot ${kind}: it undoes no transaction`);
  if (undoes !== undefined && !isId(undoes))
    throw new AptOstreeError("InvalidRequest", `cannot undo ${JSON.stringify(undoes.slice(0, 40))}: that is not the id of a transaction`);
  const request = { kind: kind as Kind, packages, targets: targets as CleanupTarget[], idempotent: values.idempotent === true };
  return undoes === undefined ? request : { ...request, undoes };
}

/** A request as a command line, for people. */
export function titleOf(request: Request): string {
  const undone = request.undoes === undefined ? [] : [request.undoes];
  return [request.kind, ...undone, ...request.packages, ...request.targets].join(" ");
}
