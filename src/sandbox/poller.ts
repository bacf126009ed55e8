/** A client that asks for the status again and again, as an update checker does, and notes how long each answer took. */
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Bus } from "../dbus/bus.ts";
import { BUS_NAME, INTERFACE, MANAGER_INTERFACE, ROOT_PATH } from "../dbus/wire.ts";
import type { TransactionView } from "../model/transaction.ts";

/** What a poller saw; milliseconds. */
export interface Latency {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Polls until the signal fires, with a pause between answer and next question. */
export async function pollStatus(address: string, pauseMs: number, signal: AbortSignal): Promise<Latency> {
  const bus = await Bus.connect(address);
  const times: number[] = [];
  try {
    while (!signal.aborted) {
      const start = performance.now();
      await bus.call({ destination: BUS_NAME, path: ROOT_PATH, interface: INTERFACE, member: "Status" });
      times.push(performance.now() - start);
      await sleep(pauseMs);
    }
  } finally {
    await bus.close();
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  return { count: times.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: times.at(-1) ?? 0 };
}

/** The newest transactions, newest first. */
export async function latestTransactions(address: string, limit: number): Promise<TransactionView[]> {
  const bus = await Bus.connect(address);
  try {
    const call = { destination: BUS_NAME, path: ROOT_PATH, interface: MANAGER_INTERFACE, member: "ListTransactions" };
    const [text] = await bus.call({ ...call, signature: "u", body: [limit] });
    return JSON.parse(String(text)) as TransactionView[];
  } finally {
    await bus.close();
  }
}
