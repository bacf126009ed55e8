/** The packages of deployments and commits on the bus: reading only, for everyone. */
import type { SchedulerApi } from "../scheduler/api.ts";
import { type Binding, bind } from "./binding.ts";
import { DATABASE } from "./interfaces.ts";
import { jsonArray } from "./json.ts";
import type { InspectionPort } from "./ports.ts";

/** The interface at the root object. */
export function databaseBinding(scheduler: Pick<SchedulerApi, "status">, inspection: InspectionPort): Binding {
  const now = () => scheduler.status().snapshot;
  return bind(DATABASE, {
    methods: {
      Revision: async ({ revision }) => ({ found: JSON.stringify(await inspection.revision(now(), revision)) }),
      Packages: async ({ revision }) => {
        const found = await inspection.packages(now(), revision);
        return { packages: `{"revision":${JSON.stringify(found.revision)},"packages":${await jsonArray(found.packages)}}` };
      },
      PackageDiff: async ({ from, to }) => {
        const diff = await inspection.diff(now(), from, to);
        const ends = `"from":${JSON.stringify(diff.from)},"to":${JSON.stringify(diff.to)}`;
        return { diff: `{${ends},"changes":${await jsonArray(diff.changes)}}` };
      },
      Changelogs: async ({ from, to }) => ({ changelogs: await jsonArray(await inspection.changelogs(now(), from, to)) }),
      Why: async (args) => ({ why: JSON.stringify(await inspection.why(now(), args.package, args.revision)) }),
      WhyNot: async (args) => ({ why_not: JSON.stringify(await inspection.whyNot(now(), args.package)) }),
    },
    properties: {},
  });
}
