/** Views of transactions for tests that show them, with only what a test cares about. */
import { makeRequest } from "../../src/model/request.ts";
import type { TransactionView } from "../../src/model/transaction.ts";

/** An install of nginx that waits, unless `values` say otherwise. */
export function transactionView(values: Partial<TransactionView> = {}): TransactionView {
  return {
    id: "7f3a5c9d1e20",
    runId: "aaaaaaaaaaaa",
    kind: "install",
    title: "install nginx",
    request: makeRequest("install", { packages: ["nginx"] }),
    caller: { sender: ":1.7", uid: 0, pid: 42, agent: "cli" },
    requestClass: "interactive",
    state: "queued",
    progress: { percent: 0, text: "", bytesDone: 0, bytesTotal: 0 },
    eta: null,
    warning: "",
    waitingFor: "",
    position: 0,
    cancellable: true,
    joinedWith: [],
    resumed: 0,
    createdMs: 0,
    endedMs: 0,
    result: null,
    error: null,
    epoch: 1,
    ...values,
  };
}
