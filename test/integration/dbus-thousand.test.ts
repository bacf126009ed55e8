import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, it } from "vitest";
import { DaemonClient } from "../../src/dbus/client.ts";
import { checkoutRoot } from "../../src/sandbox/layout.ts";
import { startBus } from "../harness/bus.ts";
import type { Told } from "../harness/many-clients.ts";
import { snapshot } from "../harness/memory-scheduler.ts";
import { startTestService } from "../harness/service.ts";

const PROGRAM = join(checkoutRoot(), "dist/test/harness/many-clients.js");
const CHILDREN = 4;
const CLIENTS_OF_CHILD = 250;
const CLIENTS = CHILDREN * CLIENTS_OF_CHILD;
/** Of which the greatest part is for the calls that are open at once. */
const MAX_BYTES_OF_CLIENT = 48 * 1024;

/** The next thing that each child tells. */
const nextOf = (children: readonly ChildProcess[]): Promise<Told[]> =>
  Promise.all(children.map(async (child) => (await once(child, "message"))[0] as Told));

it("answers a thousand connected clients that all ask and all wait, in bounded memory", async () => {
  const limits = { max_completed_connections: CLIENTS + 20, max_connections_per_user: CLIENTS + 20 };
  const bus = await startBus({ limits });
  const service = await startTestService(bus);
  const client = await DaemonClient.connect(bus.address);
  const children = Array.from({ length: CHILDREN }, () => fork(PROGRAM, [bus.address, String(CLIENTS_OF_CHILD)]));
  try {
    expect(await nextOf(children)).toEqual(Array(CHILDREN).fill("connected"));
    const beforeBytes = process.memoryUsage.rss();
    const waiting = nextOf(children);
    for (const child of children) child.send("go");
    expect(await waiting).toEqual(Array(CHILDREN).fill("waiting"));
    await expect.poll(() => service.scheduler.waiting, { timeout: 60_000 }).toBe(CLIENTS);
    expect(process.memoryUsage.rss() - beforeBytes).toBeLessThan(CLIENTS * MAX_BYTES_OF_CLIENT);
    // One more beside them is served as if they were not there.
    expect((await client.status()).snapshot.epoch).toBe(1);
    const answered = nextOf(children);
    service.scheduler.publish(snapshot(2));
    const epochs = Array(CLIENTS_OF_CHILD).fill(2);
    expect(await answered).toEqual(Array(CHILDREN).fill({ statuses: CLIENTS_OF_CHILD, epochs }));
    const ended = children.map((child) => once(child, "exit"));
    for (const child of children) child.send("go");
    await Promise.all(ended);
    expect(service.scheduler.waiting).toBe(0);
    expect(service.logged.filter((line) => Number(line.level) >= 40)).toEqual([]);
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await client.close();
    await service.stop();
    await bus.stop();
  }
}, 180_000);
