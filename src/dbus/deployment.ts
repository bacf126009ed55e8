/** Deployments as dictionaries of the bus, with rpm-ostree's habit of lower-case keys with hyphens. */
import type { Deployment } from "../model/sysroot.ts";
import { variant } from "./bus.ts";

/** A deployment as "a{sv}"; an empty dictionary for none. Layered packages are (name, version, architecture). */
export function deploymentValue(deployment: Deployment | undefined): Record<string, unknown> {
  if (deployment === undefined) return {};
  const { origin, layered } = deployment;
  return {
    id: variant("s", deployment.id),
    index: variant("u", deployment.index),
    stateroot: variant("s", deployment.stateroot),
    commit: variant("s", deployment.commit),
    serial: variant("u", deployment.serial),
    version: variant("s", deployment.version),
    timestamp: variant("t", deployment.timestampS),
    booted: variant("b", deployment.booted),
    staged: variant("b", deployment.staged),
    pending: variant("b", deployment.pending),
    rollback: variant("b", deployment.rollback),
    pinned: variant("b", deployment.pinned),
    origin: variant("s", origin.refspec),
    "requested-packages": variant("as", [...origin.requested]),
    "requested-local-packages": variant("as", [...origin.requestedLocal]),
    "inactive-requests": variant("as", [...origin.inactive]),
    "removed-base-packages": variant("as", [...origin.removed]),
    "replaced-base-packages": variant("as", [...origin.replaced]),
    "replaced-local-base-packages": variant("as", [...origin.replacedLocal]),
    "base-follows-apt": variant("b", origin.followsApt),
    "base-commit": variant("s", origin.baseCommit),
    "layer-key": variant("s", origin.layerKey),
    transaction: variant("s", origin.transaction),
    "layered-packages": variant(
      "a(sss)",
      layered.map((p) => [p.name, p.version, p.architecture]),
    ),
  };
}
