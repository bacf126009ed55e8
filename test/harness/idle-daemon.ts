/** A program that a test bus starts: the service with a scheduler that only remembers, which ends when nobody asks. Arguments: bus, idleMs. */
import { pino } from "pino";
import { Bus } from "../../src/dbus/bus.ts";
import { startService } from "../../src/dbus/service.ts";
import { watchIdle } from "../../src/idle.ts";
import { Metrics } from "../../src/metrics.ts";
import { MemoryInspection, MemoryRemotes } from "./memory-reading.ts";
import { MemoryScheduler } from "./memory-scheduler.ts";

const [address = "", idleMs = "0"] = process.argv.slice(2);
const bus = await Bus.connect(address);
const service = await startService({
  bus,
  scheduler: new MemoryScheduler(),
  inspection: new MemoryInspection(),
  remotes: new MemoryRemotes(),
  log: pino({ level: "silent" }),
  version: String(process.pid),
  metrics: new Metrics(),
});
const end = async (status: number): Promise<void> => {
  await service.close();
  await bus.close();
  process.exit(status);
};
watchIdle({
  idleMs: Number(idleMs),
  idleSinceMs: () => service.idleSinceMs(),
  leave: () => service.leave(),
  onLeft: () => void end(0),
  onError: () => process.exit(70),
});
await bus.closed;
process.exit(71);
