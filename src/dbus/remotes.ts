/** The remotes on the bus: everyone may look, whoever may change the system may change them. */
import { checkRemoteName, parseRemoteSettings } from "../model/remote.ts";
import type { Action } from "./authority.ts";
import { type Binding, bind, type CallContext } from "./binding.ts";
import { REMOTES } from "./interfaces.ts";
import { jsonArray } from "./json.ts";
import { authorised, type Services } from "./manager.ts";
import type { RemotesPort } from "./ports.ts";

/** The interface at the root object. */
export function remotesBinding(services: Services, remotes: RemotesPort): Binding {
  const allowed = async (call: CallContext, action: Action): Promise<void> => void (await authorised(services, call, action));
  return bind(REMOTES, {
    methods: {
      ListRemotes: async () => ({ remotes: await jsonArray(await remotes.list()) }),
      RemoteRefs: async ({ name }) => ({ refs: await jsonArray(await remotes.refs(checkRemoteName(name))) }),
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
