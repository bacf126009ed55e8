/** One stateroot on the bus. */
import type { Deployment, SysrootSnapshot } from "../model/sysroot.ts";
import { type Binding, bind } from "./binding.ts";
import { deploymentValue } from "./deployment.ts";
import { OS } from "./interfaces.ts";

/** The interface of the stateroot `name`, always showing the latest snapshot. */
export function osBinding(name: string, snapshot: () => SysrootSnapshot): Binding {
  const first = (wanted: (deployment: Deployment) => boolean): Record<string, unknown> =>
    deploymentValue(snapshot().deployments.find((deployment) => deployment.stateroot === name && wanted(deployment)));
  return bind(OS, {
    methods: {},
    properties: {
      Name: () => name,
      BootedDeployment: () => first((deployment) => deployment.booted),
      DefaultDeployment: () => first(() => true),
      RollbackDeployment: () => first((deployment) => deployment.rollback),
    },
  });
}
