/** A scheduler that only remembers: the tests of the bus play the part of the work. */
import { EventEmitter } from "node:events";
import { AptOstreeError } from "../../src/model/errors.ts";
import { newId } from "../../src/model/ids.ts";
import { titleOf } from "../../src/model/request.ts";
import type { Deployment, SysrootSnapshot } from "../../src/model/sysroot.ts";
import {
  type Caller,
  DEFAULT_SCHEDULING,
  isFinal,
  type Request,
  type RunMessage,
  type Scheduling,
  type TransactionView,
} from "../../src/model/transaction.ts";
import { BARE_TREE } from "../../src/model/tree.ts";
import type { SchedulerApi, SchedulerEvents, StatusView } from "../../src/scheduler/api.ts";
import type { LockReport } from "../../src/scheduler/waits-for.ts";
import { transactionView } from "./views.ts";

/** A deployment with only what a test cares about. */
export function deployment(stateroot: string, index: number, values: Partial<Deployment> = {}): Deployment {
  const commit = `${index}`.repeat(64).slice(0, 64);
  return {
    id: `${stateroot}-${commit}.0`,
    index,
    stateroot,
    commit,
    serial: 0,
    version: `13.${index}`,
    timestampS: 1_750_000_000,
    booted: false,
    staged: false,
    pending: false,
    rollback: false,
    pinned: false,
    origin: { ...BARE_TREE, refspec: "debian:debian/trixie", requested: ["vim"], inactive: [], baseCommit: commit, layerKey: "", transaction: "" },
    layered: [{ name: "vim", architecture: "amd64", version: "2:9.1" }],
    ...values,
  };
}

/** A snapshot with a booted deployment. */
export function snapshot(epoch: number, deployments: readonly Deployment[] = [deployment("debian", 0, { booted: true })]): SysrootSnapshot {
  return { epoch, readMs: 0, sysroot: "/", booted: true, deployments, warnings: [] };
}

/** Journals in memory, runs nothing. `overrides` replaces single answers, for faults. */
export class MemoryScheduler extends EventEmitter<SchedulerEvents> implements SchedulerApi {
  readonly views = new Map<string, TransactionView>();
  /** What the locks are said to look like. */
  locks: LockReport = { holders: [], waiting: [], graph: [], cycle: null, historyLength: 0, violations: [] };
  readonly said = new Map<string, RunMessage[]>();
  /** How each transaction was to wait, by id. */
  readonly scheduled = new Map<string, Scheduling>();
  overrides: Partial<Pick<SchedulerApi, "status" | "submit" | "cancel" | "transaction" | "transactions" | "messages" | "reload">> = {};
  #snapshot = snapshot(1);
  readonly #waiters = new Set<() => void>();

  /** How many wait for a status. */
  get waiting(): number {
    return this.#waiters.size;
  }

  status(): StatusView {
    if (this.overrides.status !== undefined) return this.overrides.status();
    return { snapshot: this.#snapshot, transactions: [...this.views.values()].filter((view) => !isFinal(view.state)) };
  }

  async waitForStatus(sinceEpoch: number, timeoutMs: number, signal?: AbortSignal): Promise<StatusView> {
    if (this.#snapshot.epoch <= sinceEpoch) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          this.#waiters.delete(look);
          signal?.removeEventListener("abort", done);
          resolve();
        };
        const look = (): void => (this.#snapshot.epoch > sinceEpoch ? done() : undefined);
        const timer = setTimeout(done, timeoutMs);
        this.#waiters.add(look);
        signal?.addEventListener("abort", done);
      });
    }
    return this.status();
  }

  async submit(request: Request, caller: Caller, scheduling = DEFAULT_SCHEDULING): Promise<string> {
    if (this.overrides.submit !== undefined) return await this.overrides.submit(request, caller, scheduling);
    return this.begin(request, caller, scheduling);
  }

  async cancel(id: string, caller: Caller): Promise<void> {
    if (this.overrides.cancel !== undefined) return await this.overrides.cancel(id, caller);
    await this.transaction(id);
    this.end(id, "cancelled");
  }

  async transaction(id: string): Promise<TransactionView> {
    if (this.overrides.transaction !== undefined) return await this.overrides.transaction(id);
    const view = this.views.get(id);
    if (view === undefined) throw new AptOstreeError("NotFound", `cannot find transaction ${id}: there is none of that id`);
    return view;
  }

  async transactions(limit: number): Promise<readonly TransactionView[]> {
    if (this.overrides.transactions !== undefined) return await this.overrides.transactions(limit);
    return [...this.views.values()].reverse().slice(0, limit);
  }

  async messages(id: string, afterSeq: number): Promise<readonly RunMessage[]> {
    if (this.overrides.messages !== undefined) return await this.overrides.messages(id, afterSeq);
    await this.transaction(id);
    return (this.said.get(id) ?? []).filter((message) => message.seq > afterSeq);
  }

  lockReport(): LockReport {
    return this.locks;
  }

  async reload(): Promise<number> {
    if (this.overrides.reload !== undefined) return await this.overrides.reload();
    return this.publish(snapshot(this.#snapshot.epoch + 1));
  }

  /** Begins a transaction, as `submit` does. */
  begin(request: Request, caller: Caller, scheduling = DEFAULT_SCHEDULING): string {
    const id = newId();
    const view = transactionView({
      id,
      runId: newId(),
      kind: request.kind,
      title: titleOf(request),
      request,
      caller,
      requestClass: scheduling.requestClass,
      position: 1,
      epoch: this.#snapshot.epoch,
      createdMs: Date.now(),
    });
    this.views.set(id, view);
    this.scheduled.set(id, scheduling);
    this.emit("added", view);
    return id;
  }

  change(id: string, values: Partial<TransactionView>): void {
    this.emit("changed", this.#update(id, values));
  }

  progress(id: string, percent: number, text: string): void {
    this.emit("progress", this.#update(id, { progress: { percent, text, bytesDone: percent * 10, bytesTotal: 1000 } }));
  }

  say(id: string, text: string): void {
    const messages = this.said.get(id) ?? [];
    const message: RunMessage = { seq: messages.length + 1, atMs: Date.now(), level: "info", text };
    this.said.set(id, [...messages, message]);
    this.emit("message", this.#update(id, {}), message);
  }

  end(id: string, state: "finished" | "failed" | "cancelled"): void {
    const result = { changed: true, commit: "c".repeat(64), staged: true, diff: [], timings: [], summary: "done" };
    const error = state === "failed" ? { code: "ScriptFailed" as const, message: "cannot assemble: postinst of vim failed" } : null;
    this.emit("finished", this.#update(id, { state, cancellable: false, endedMs: Date.now(), result: state === "finished" ? result : null, error }));
  }

  publish(next: SysrootSnapshot): number {
    this.#snapshot = next;
    this.emit("snapshot", next);
    for (const look of [...this.#waiters]) look();
    return next.epoch;
  }

  #update(id: string, values: Partial<TransactionView>): TransactionView {
    const view = { ...(this.views.get(id) as TransactionView), ...values };
    this.views.set(id, view);
    return view;
  }
}
