/** Requests of every kind. */
import { makeRequest, type RequestValues } from "../../src/model/request.ts";
import type { Kind, Request } from "../../src/model/transaction.ts";

/** What a kind must be given at least. */
export function valuesFor(kind: Kind): RequestValues {
  if (kind === "install" || kind === "uninstall") return { packages: ["vim"] };
  if (kind === "override") return { action: "remove", packages: ["vim"] };
  if (kind === "rebase") return { refspec: "debian:debian/14" };
  if (kind === "deploy") return { revision: "13.1" };
  if (kind === "undo") return { undoes: "1".repeat(12) };
  return kind === "cleanup" ? { targets: ["base"] } : {};
}

/** The plainest request of a kind. */
export function plainRequest(kind: Kind): Request {
  return makeRequest(kind, valuesFor(kind));
}
