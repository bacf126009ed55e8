import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Bus, DRIVER } from "../../src/dbus/bus.ts";
import { DaemonClient } from "../../src/dbus/client.ts";
import { BUS_NAME } from "../../src/dbus/wire.ts";
import { DAEMON_STATE, type SandboxHost } from "../../src/sandbox/host.ts";
import { INNER_APP, INNER_NODE, INNER_RUN } from "../../src/sandbox/layout.ts";
import { makeTestHost } from "../harness/host.ts";

/** On a host with a bus that can start the daemon, which is idle after a second. */
describe("a daemon that the bus starts", () => {
  let host: SandboxHost;
  let busDaemon: ChildProcess;
  let address: string;
  let observer: Bus;

  beforeAll(async () => {
    host = await makeTestHost({ name: "idle" });
    const [outside, inside] = [join(host.layout.run, "idle"), `${INNER_RUN}/idle`];
    await mkdir(outside);
    const daemon = `${INNER_NODE} ${INNER_APP}/dist/src/daemon.js --state ${DAEMON_STATE} --config ${inside}/daemon.yaml`;
    await writeFile(join(outside, "daemon.yaml"), "idleExitSeconds: 1\n");
    await writeFile(join(outside, "start"), `#!/bin/sh\nexec ${daemon} --bus "$DBUS_STARTER_ADDRESS" >>${inside}/log 2>&1\n`, { mode: 0o755 });
    await writeFile(join(outside, `${BUS_NAME}.service`), `[D-BUS Service]\nName=${BUS_NAME}\nExec=${inside}/start\n`);
    await writeFile(
      join(outside, "bus.conf"),
      `<busconfig><type>custom</type><listen>unix:path=${inside}/socket</listen><auth>EXTERNAL</auth><servicedir>${inside}</servicedir>
       <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>`,
    );
    const { command, args, env } = await host.entry("dbus-daemon", ["--nofork", "--nopidfile", `--config-file=${inside}/bus.conf`]);
    busDaemon = spawn(command, args, { env, stdio: "ignore" });
    address = `unix:path=${join(outside, "socket")}`;
    observer = await vi.waitFor(() => Bus.connect(address), { timeout: 60_000 });
  });
  afterAll(async () => {
    await observer?.close();
    busDaemon?.kill();
    await host.remove();
  });

  const gone = () => expect.poll(() => observer.ownerOf(BUS_NAME), { timeout: 60_000, interval: 20 }).toBeNull();

  it("ends when nobody needs it, and is there again for the next call of the same client", async () => {
    const client = await DaemonClient.connect(address);
    await client.status();
    const first = await observer.ownerOf(BUS_NAME);
    await gone();
    expect(await client.status()).toMatchObject({ transactions: [] });
    expect(await observer.ownerOf(BUS_NAME)).not.toBe(first);
    await gone();
    await client.close();
  });

  it("stays while a call waits", async () => {
    const client = await DaemonClient.connect(address);
    const { epoch } = (await client.status()).snapshot;
    const waiting = client.waitStatus(epoch + 1, 8000);
    await client.status();
    const first = await observer.ownerOf(BUS_NAME);
    // Long after it would have ended.
    await sleep(4000);
    expect(await observer.ownerOf(BUS_NAME)).toBe(first);
    await waiting;
    await client.close();
  });

  it("loses no call and no transaction, whenever they come", async () => {
    const client = await DaemonClient.connect(address);
    const owners = new Set<string | null>();
    let released = 0;
    const stop = observer.onSignal(({ sender, member, body }) => {
      if (sender === DRIVER.destination && member === "NameOwnerChanged" && body[0] === BUS_NAME && body[2] === "") released++;
    });
    const forget = await observer.addMatch(`type='signal',sender='${DRIVER.destination}',member='NameOwnerChanged',arg0='${BUS_NAME}'`);
    // Pauses around the time after which it ends: calls come before, while and after it gives up the name. On a busy machine it takes longer
    // to end, so the pauses grow until it has ended once between two calls.
    for (let round = 0; round < 4 || (released === 0 && round < 30); round++) {
      await sleep(1000 + round * 200);
      const [id, status] = await Promise.all([client.submit({ kind: "cleanup", targets: ["repomd"], agent: "test" }), client.status()]);
      expect(status.snapshot.deployments).toHaveLength(1);
      owners.add(await observer.ownerOf(BUS_NAME));
      for await (const event of client.follow(id)) if (event.kind === "finished") expect(event.view.state).toBe("finished");
    }
    expect(released).toBeGreaterThan(0);
    expect(await readFile(join(host.layout.run, "idle/log"), "utf8")).not.toMatch(/"level":[56]0|^apt-ostreed: /m);
    stop();
    await forget();
    await client.close();
  }, 600_000);
});
