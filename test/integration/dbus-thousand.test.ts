import { fork } from "node:child_process";
import { on } from "node:events";
import { join } from "node:path";
import { expect, it } from "vitest";
import { DaemonClient } from "../../src/dbus/client.ts";
import { makeRequest } from "../../src/model/request.ts";
import { STAGES_OF } from "../../src/model/transaction.ts";
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

/** What a child tells, kept until it is asked for. */
type Messages = AsyncIterator<[Told]>;

/** The next thing that each child tells. */
const nextOf = (told: readonly Messages[]): Promise<Told[]> => Promise.all(told.map(async (one) => (await one.next()).value[0] as Told));

it("answers a thousand connected clients that all ask, wait and listen, in bounded memory, and forgets them when they are gone", async () => {
  const limits = { max_completed_connections: CLIENTS + 20, max_connections_per_user: CLIENTS + 20 };
  const bus = await startBus({ limits });
  const service = await startTestService(bus);
  const client = await DaemonClient.connect(bus.address);
  const children = Array.from({ length: CHILDREN }, () => fork(PROGRAM, [bus.address, String(CLIENTS_OF_CHILD)]));
  const told = children.map((child) => on(child, "message")[Symbol.asyncIterator]() as Messages);
  try {
    expect(await nextOf(told)).toEqual(Array(CHILDREN).fill("connected"));
    const beforeBytes = process.memoryUsage.rss();
    const waiting = nextOf(told);
    for (const child of children) child.send("go");
    expect(await waiting).toEqual(Array(CHILDREN).fill("waiting"));
    await expect.poll(() => service.scheduler.waiting).toBe(CLIENTS);
    expect(process.memoryUsage.rss() - beforeBytes).toBeLessThan(CLIENTS * MAX_BYTES_OF_CLIENT);
    // One more beside them is served as if they were not there.
    expect((await client.status()).snapshot.epoch).toBe(1);
    const answered = nextOf(told);
    service.scheduler.publish(snapshot(2));
    const epochs = Array(CLIENTS_OF_CHILD).fill(2);
    expect(await answered).toEqual(Array(CHILDREN).fill({ statuses: CLIENTS_OF_CHILD, epochs }));
    expect(await nextOf(told)).toEqual(Array(CHILDREN).fill("listening"));
    const heard = nextOf(told);
    const { scheduler } = service;
    const id = scheduler.begin(makeRequest("install", { packages: ["vim"] }), { sender: ":1.999", uid: 0, pid: 1, agent: "test" });
    for (const state of STAGES_OF.install) {
      scheduler.change(id, { state });
      scheduler.progress(id, STAGES_OF.install.indexOf(state) * 20, state);
    }
    scheduler.end(id, "finished");
    expect(await heard).toEqual(Array(CHILDREN).fill({ heard: CLIENTS_OF_CHILD }));
    await expect.poll(() => scheduler.waiting).toBe(CLIENTS);
    expect(process.memoryUsage.rss() - beforeBytes).toBeLessThan(CLIENTS * MAX_BYTES_OF_CLIENT);
    // They are gone without a word, and so is what was kept for them.
    for (const child of children) child.kill("SIGKILL");
    await expect.poll(() => scheduler.waiting).toBe(0);
    expect(service.logged.filter((line) => Number(line.level) >= 40)).toEqual([]);
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await client.close();
    await service.stop();
    await bus.stop();
  }
});
