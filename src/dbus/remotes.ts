/** The remotes on the bus: everyone may look, whoever may change the system may change them. */
import { checkRemoteName, parseRemoteSettings } from "../model/remote.ts";
import type { Action } from "./authority.ts";
import { type Binding, bind, type CallContext } from "./binding.ts";
import { REMOTES } from "./interfaces.ts";
import { jsonArray } from "./json.ts";
import { authorised, type Services } from "./manager.ts";
import type { RemotesPort } from "./ports.ts";
import { OpenQuestions } from "./questions.ts";

/** Lists of the remotes, open at once for one user. */
const MAX_LISTS_OF_USER = 16;
/** Questions to the remotes themselves: a remote that does not answer takes a minute. Fewer than the engine works on at once. */
const MAX_ASKED_OF_USER = 4;

/** The interface at the root object. */
export function remotesBinding(services: Services, remotes: RemotesPort): Binding {
  const allowed = async (call: CallContext, action: Action): Promise<void> => void (await authorised(services, call, action));
  const lists = new OpenQuestions(services.callers, MAX_LISTS_OF_USER);
  const asked = new OpenQuestions(services.callers, MAX_ASKED_OF_USER);
  return bind(REMOTES, {
    methods: {
      ListRemotes: async (_args, call) => ({ remotes: await jsonArray(await lists.ask(call, () => remotes.list())) }),
      RemoteRefs: async ({ name }, call) => {
        const remote = checkRemoteName(name);
        return { refs: await jsonArray(await asked.ask(call, () => remotes.refs(remote))) };
      },
      AddRemote: async ({ name, settings }, call) => {
        const remote = checkRemoteName(name);
        const wanted = parseRemoteSettings(settings);
        await allowed(call, { verb: "add", remote });
        await remotes.add(remote, wanted);
        return {};
      },
      ModifyRemote: async ({ name, settings }, call) => {
        const remote = checkRemoteName(name);
        const wanted = parseRemoteSettings(settings);
        await allowed(call, { verb: "modify", remote });
        await remotes.modify(remote, wanted);
        return {};
      },
      DeleteRemote: async ({ name, force }, call) => {
        const remote = checkRemoteName(name);
        await allowed(call, { verb: "delete", remote });
        await remotes.delete(services.scheduler.status().snapshot, remote, force);
        return {};
      },
    },
    properties: {},
  });
}
