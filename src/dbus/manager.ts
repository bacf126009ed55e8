/** The root object: the main interface and the manager. */
import { AptOstreeError } from "../model/errors.ts";
import { isId } from "../model/ids.ts";
import { makeRequest } from "../model/request.ts";
import { type Caller, DEFAULT_SCHEDULING, type Kind, type Request, type Scheduling } from "../model/transaction.ts";
import type { SchedulerApi } from "../scheduler/api.ts";
import type { Action, Authority } from "./authority.ts";
import { type Binding, bind, type CallContext } from "./binding.ts";
import type { Callers } from "./caller.ts";
import { MAIN, MANAGER } from "./interfaces.ts";
import { jsonArray } from "./json.ts";
import type { ReadingLimits } from "./limits.ts";
import type { StatusText } from "./status.ts";
import type { Transactions } from "./transaction.ts";
import type { StatusWaits } from "./waiting.ts";
import { parseSubmission, schedulingOf } from "./wire.ts";

const MAX_LISTED = 1000;
/** Answers stay short; who wants more asks again from the last number. */
const MAX_MESSAGES = 2000;

/** What the objects that act need. */
export interface Services {
  readonly scheduler: SchedulerApi;
  readonly callers: Callers;
  readonly authority: Authority;
  readonly version: string;
  readonly metrics: { render(): string };
  readonly status: StatusText;
  readonly waits: StatusWaits;
  readonly limits: ReadingLimits;
}

/** The caller of a call, once it may do what it asks for. Throws NotAuthorized. */
export async function authorised(services: Services, call: CallContext, action: Action, agent = ""): Promise<Caller> {
  const caller = { sender: call.sender, ...(await services.callers.of(call.sender)), agent };
  await services.authority.check(caller, action, { interactive: call.interactive });
  return caller;
}

/** Ends its owner's interest in a transaction, for a caller who may. Throws NotFound, NotAuthorized, TooLate. */
export async function cancelFor(services: Services, call: CallContext, transaction: string): Promise<void> {
  const { caller: owner } = await services.scheduler.transaction(transaction);
  const caller = await authorised(services, call, { verb: "cancel", transaction, ownerUid: owner.uid });
  await services.scheduler.cancel(transaction, caller);
}

/** An id as it may be passed on. Throws NotFound. */
export function checkId(id: string): string {
  if (!isId(id)) throw new AptOstreeError("NotFound", `cannot find transaction ${JSON.stringify(id.slice(0, 40))}: there is none of that id`);
  return id;
}

/** The interfaces of the root object. */
export function rootBindings(services: Services, transactions: Transactions): Binding[] {
  const { scheduler, version, status, waits, limits } = services;

  const submit = async (call: CallContext, request: Request, agent: string, scheduling: Scheduling): Promise<{ transaction_id: string }> => {
    const caller = await authorised(services, call, { verb: "submit", request }, agent);
    transactions.holdBack(call);
    return { transaction_id: await scheduler.submit(request, caller, scheduling) };
  };
  const plain = (kind: Kind, call: CallContext, packages: readonly string[] = []) =>
    submit(call, makeRequest(kind, { packages }), "", DEFAULT_SCHEDULING);

  const main = bind(MAIN, {
    methods: {
      Status: (_args, { sender }) => ({ status: limits.take(sender) ? status.now() : status.last() }),
      Install: ({ packages }, call) => plain("install", call, packages),
      Uninstall: ({ packages }, call) => plain("uninstall", call, packages),
      Upgrade: (_args, call) => plain("upgrade", call),
      Rollback: (_args, call) => plain("rollback", call),
    },
    properties: {},
  });

  const manager = bind(MANAGER, {
    methods: {
      Submit: ({ request }, call) => {
        const submission = parseSubmission(request);
        return submit(call, makeRequest(submission.kind, submission), submission.agent, schedulingOf(submission));
      },
      WaitStatus: async ({ since_epoch, timeout_ms }, { sender }) => {
        await waits.wait(sender, Number(since_epoch), timeout_ms);
        return { status: status.now() };
      },
      GetTransaction: async ({ transaction_id }) => ({ transaction: JSON.stringify(await scheduler.transaction(checkId(transaction_id))) }),
      ListTransactions: async ({ limit }) => {
        if (limit > MAX_LISTED) throw new AptOstreeError("InvalidRequest", `cannot list ${limit} transactions: at most ${MAX_LISTED} at a time`);
        return { transactions: await jsonArray(await scheduler.transactions(limit)) };
      },
      GetMessages: async ({ transaction_id, after }) => {
        const messages = await scheduler.messages(checkId(transaction_id), after);
        return { messages: await jsonArray(messages.slice(0, MAX_MESSAGES)) };
      },
      Cancel: async ({ transaction_id }, call) => {
        await cancelFor(services, call, checkId(transaction_id));
        return {};
      },
      DebugLocks: () => ({ report: JSON.stringify(scheduler.lockReport()) }),
      Metrics: () => ({ metrics: services.metrics.render() }),
      Reload: async (_args, call) => {
        await authorised(services, call, { verb: "reload" });
        return { epoch: await scheduler.reload() };
      },
    },
    properties: { Version: () => version },
  });
  return [main, manager];
}
