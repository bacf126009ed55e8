/**
 * The pollers of the benchmark, a process of their own: `pollers.js ADDRESS CONNECTIONS CALLS_A_SECOND`. Every connection asks for the
 * status that often until standard input ends; then how long the answers took is written to standard output, as `PollReport`.
 */
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Bus } from "../../src/dbus/bus.ts";
import { BUS_NAME, INTERFACE, ROOT_PATH } from "../../src/dbus/wire.ts";
import { percentile } from "./stats.ts";

/** Milliseconds from the moment a question was due to its answer, so that a stall counts for every question that it held up. */
export interface PollReport {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** How late this process's own timers ran: what of the above no daemon could have saved. */
  readonly ownDelayP99Ms: number;
  /** The same from the moment the question was sent. */
  readonly sentP50Ms: number;
  readonly sentP99Ms: number;
}

const OWN_RESOLUTION_MS = 2;

async function main(address: string, connections: number, rate: number): Promise<PollReport> {
  const buses = await Promise.all(Array.from({ length: connections }, () => Bus.connect(address)));
  process.stdout.write("ready\n");
  let stopped = false;
  process.stdin.resume().once("end", () => {
    stopped = true;
  });
  const own = monitorEventLoopDelay({ resolution: OWN_RESOLUTION_MS });
  own.enable();
  const fromDue: number[] = [];
  const fromSent: number[] = [];
  const periodMs = 1000 / rate;
  const poll = async (bus: Bus, index: number): Promise<void> => {
    let due = performance.now() + (periodMs * index) / connections;
    while (!stopped) {
      await sleep(Math.max(0, due - performance.now()));
      const sent = performance.now();
      await bus.call({ destination: BUS_NAME, path: ROOT_PATH, interface: INTERFACE, member: "Status" });
      const now = performance.now();
      // A timer of Node's fires up to 1 ms early.
      fromDue.push(now - Math.min(due, sent));
      fromSent.push(now - sent);
      due += periodMs;
    }
  };
  await Promise.all(buses.map(poll));
  own.disable();
  await Promise.all(buses.map((bus) => bus.close()));
  return {
    count: fromDue.length,
    p50Ms: percentile(fromDue, 0.5),
    p99Ms: percentile(fromDue, 0.99),
    maxMs: percentile(fromDue, 1),
    ownDelayP99Ms: Math.max(0, own.percentile(99) / 1e6 - OWN_RESOLUTION_MS),
    sentP50Ms: percentile(fromSent, 0.5),
    sentP99Ms: percentile(fromSent, 0.99),
  };
}

const [address = "", connections = "", rate = ""] = process.argv.slice(2);
const report = await main(address, Number(connections), Number(rate));
process.stdout.write(`${JSON.stringify(report)}\n`);
