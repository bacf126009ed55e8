/** Commands in a tree that is assembled: what they may see and leave. */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { countProcesses } from "../../src/engines/layer/limits.ts";
import { type Assembly, makeWorkTree, runInTree, workTree } from "../../src/engines/layer/mount.ts";
import { SCRIPT_PATH } from "../../src/engines/layer/stubs.ts";
import { onDisk } from "../../src/engines/layer/workspace.ts";
import { INSTALL_CAPABILITIES } from "../../src/engines/sandbox.ts";
import { removeTree } from "../../src/engines/tree.ts";
import { checkoutRoot } from "../../src/sandbox/layout.ts";
import { testBase } from "../harness/host.ts";

const directory = join(checkoutRoot(), ".sandbox/test/intree");
const baseTree = join(directory, "base");
const ROUNDS = 20;

beforeAll(async () => {
  await removeTree(directory);
  await mkdir(directory, { recursive: true });
  const { repo, ref } = testBase();
  await exec("ostree", [`--repo=${repo}`, "checkout", ref, baseTree]);
});
afterAll(() => removeTree(directory));

/** Runs a shell script in a fresh tree. */
async function run(script: string, signal = new AbortController().signal): Promise<void> {
  const workspace = onDisk(join(directory, "work"));
  const confinement = countProcesses({ memoryBytes: 1024 ** 3, processes: 1000 });
  const assembly: Assembly = { workspace, baseTree, confinement, sourceDateEpochS: 0, signal, timeoutMs: 120_000 };
  const tree = workTree(workspace.insideDirectory);
  await removeTree(workspace.directory);
  await makeWorkTree(workspace);
  try {
    await runInTree(assembly, {
      network: false,
      capabilities: [...INSTALL_CAPABILITIES, "CAP_MKNOD"],
      env: { PATH: SCRIPT_PATH },
      binds: ["--bind", tree.var, "/var", "--bind", tree.boot, "/boot"],
      command: ["sh", "-c", script],
    });
  } finally {
    await confinement.close();
  }
}

/** The processes of this machine that sleep so many seconds. */
async function sleeping(seconds: number): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const words = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
    if (words[0] === "sleep" && words[1] === String(seconds)) found.push(pid);
  }
  return found;
}

test("processes that left the group of a command are gone when it has ended", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    await run("for i in $(seq 50); do setsid sleep 4351 </dev/null >/dev/null 2>&1 & done");
    expect(await sleeping(4351), `round ${round}`).toEqual([]);
  }
});

test("a command that heeds no signal but KILL is ended with all that it started", async () => {
  const abort = new AbortController();
  const running = run("trap '' TERM; setsid sleep 4352 </dev/null >/dev/null 2>&1 & sleep 4352", abort.signal);
  await expect.poll(async () => (await sleeping(4352)).length).toBe(2);
  abort.abort();
  await expect(running).rejects.toMatchObject({ code: "Cancelled" });
  await expect.poll(() => sleeping(4352)).toEqual([]);
});

test("what no layer can hold is refused as soon as the command that made it has ended", async () => {
  await expect(run("mknod /usr/share/device c 1 5; mkfifo /usr/share/pipe; rm /usr/share/doc/bash/copyright")).rejects.toMatchObject({
    code: "LayerInvalid",
    details: { paths: ["/usr/share/device", "/usr/share/pipe"] },
  });
  for (const path of ["/usr/share", "/var", "/boot"]) {
    const made = run(`touch ${path}/caf$(printf '\\351')`);
    await expect(made).rejects.toMatchObject({ code: "LayerInvalid", details: { paths: [`${path}/caf\ufffd`] } });
  }
});

test("a command sees the processes of its own sandbox, and no others", async () => {
  await run('set -e; test "$(cat /proc/1/comm)" = bwrap; set -- /proc/[0-9]*; test $# -le 3');
});
