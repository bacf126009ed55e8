/** The packages of deployments and commits on the bus: reading only, for everyone. */
import type { SysrootSnapshot } from "../model/sysroot.ts";
import type { SchedulerApi } from "../scheduler/api.ts";
import { type Binding, bind, type CallContext } from "./binding.ts";
import type { Callers } from "./caller.ts";
import { DATABASE } from "./interfaces.ts";
import { jsonArray } from "./json.ts";
import type { InspectionPort } from "./ports.ts";
import { OpenQuestions } from "./questions.ts";

/** Open at once for one user. */
const MAX_OPEN_OF_USER = 16;

/** What the interface needs. */
export interface DatabaseParts {
  readonly scheduler: Pick<SchedulerApi, "status">;
  readonly callers: Pick<Callers, "of">;
  readonly inspection: InspectionPort;
}

/** The interface at the root object. */
export function databaseBinding({ scheduler, callers, inspection }: DatabaseParts): Binding {
  const questions = new OpenQuestions(callers, MAX_OPEN_OF_USER);
  const ask = <T>(call: CallContext, question: (now: SysrootSnapshot) => Promise<T>): Promise<T> =>
    questions.ask(call, () => question(scheduler.status().snapshot));
  return bind(DATABASE, {
    methods: {
      Revision: async ({ revision }, call) => ({ found: JSON.stringify(await ask(call, (now) => inspection.revision(now, revision))) }),
      Packages: async ({ revision }, call) => {
        const found = await ask(call, (now) => inspection.packages(now, revision));
        return { packages: `{"revision":${JSON.stringify(found.revision)},"packages":${await jsonArray(found.packages)}}` };
      },
      PackageDiff: async ({ from, to }, call) => {
        const diff = await ask(call, (now) => inspection.diff(now, from, to));
        const ends = `"from":${JSON.stringify(diff.from)},"to":${JSON.stringify(diff.to)}`;
        return { diff: `{${ends},"changes":${await jsonArray(diff.changes)}}` };
      },
      Changelogs: async ({ from, to }, call) => ({ changelogs: await jsonArray(await ask(call, (now) => inspection.changelogs(now, from, to))) }),
      Why: async (args, call) => ({ why: JSON.stringify(await ask(call, (now) => inspection.why(now, args.package, args.revision))) }),
      WhyPlanned: async (args, call) => ({ why: JSON.stringify(await ask(call, (now) => inspection.whyPlanned(now, args.package, args.wanted))) }),
      WhyNot: async (args, call) => ({ why_not: JSON.stringify(await ask(call, (now) => inspection.whyNot(now, args.package))) }),
    },
    properties: {},
  });
}
