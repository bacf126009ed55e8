/** What a run may use: with a control group where this machine gives us one, and without. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ControlGroup, openControlGroup, removeControlGroup } from "../../src/engines/cgroup.ts";
import { ExecError, exec } from "../../src/engines/exec.ts";
import { type Confinement, confine, countProcesses, removeConfinement } from "../../src/engines/layer/limits.ts";
import { checkoutRoot } from "../../src/sandbox/layout.ts";

const LIMITS = { memoryBytes: 128 * 1024 * 1024, processes: 100 };
const name = (): string => `test-${process.pid}-${Math.random().toString(36).slice(2)}`;
const TIMEOUT_MS = 120_000;

/** Runs a command as the assembly does: in a pid namespace of its own, so that it ends as a whole. */
async function run({ enter, onStart }: Pick<Confinement, "enter" | "onStart">, ...command: string[]): Promise<string> {
  const [program = "", ...args] = [...enter, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", ...command];
  return (await exec(program, args, { onStart, timeoutMs: TIMEOUT_MS })).stdout;
}

/** A thousand at most: where nothing but counting bounds them, one without end could be faster than who counts, and take the machine. */
const BOMB = "f() { [ $1 = 0 ] && exec sleep 15; f $(($1 - 1)) & f $(($1 - 1)) & wait; }; f 9; sleep 1; echo survived";
const HOG = "perl -e 'my $x = \"x\" x (600 * 1024 * 1024); print length $x'";

const WAYS: [string, () => Promise<Confinement>][] = [
  ["as this machine can", () => confine(name(), LIMITS)],
  ["without a control group", async () => countProcesses(LIMITS)],
];

describe.each(WAYS)("%s", (_, make) => {
  let confinement: Confinement;
  beforeEach(async () => {
    confinement = await make();
  });
  afterEach(() => confinement.close());

  test("a program within its limits is not bothered", async () => {
    expect(await run(confinement, "sh", "-c", "echo $(($(nproc) > 0))")).toBe("1\n");
    expect(await confinement.exceeded()).toEqual([]);
  });

  test(
    "processes that multiply come to an end",
    async () => {
      await run(confinement, "sh", "-c", BOMB).catch((error: unknown) => expect(error).toBeInstanceOf(ExecError));
      expect(await confinement.exceeded()).toEqual(["processes"]);
    },
    TIMEOUT_MS,
  );

  test("a program that wants more memory than there is for it fails", async () => {
    await expect(run(confinement, "sh", "-c", `${HOG}; exit $?`)).rejects.toBeInstanceOf(ExecError);
  });
});

test("a control group knows what was wanted of it, and ends with all that is in it", async () => {
  const groupName = name();
  const group = await openControlGroup(groupName, LIMITS);
  // A machine may give us none; the tests above hold all the same.
  if (group === null) return expect(await (await confine(name(), LIMITS)).exceeded()).toEqual([]);
  const directories = directoriesOf(group);
  await expect(run({ ...group, onStart: () => undefined }, "sh", "-c", `${HOG}; exit $?`)).rejects.toBeInstanceOf(ExecError);
  expect(await group.exceeded()).toEqual(["memory"]);
  const [program = "", ...args] = [...group.enter, "sh", "-c", "setsid sleep 4331 >/dev/null 2>&1 </dev/null & echo $!"];
  const pid = Number((await exec(program, args)).stdout);
  // It has no arguments for the moment in which it becomes another program.
  await expect.poll(() => readFile(`/proc/${pid}/cmdline`, "utf8")).toContain("4331");
  await group.close();
  expect(directories.filter((directory) => existsSync(directory))).toEqual([]);
  await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: TIMEOUT_MS }).toBe(false);
});

test("what a daemon that was killed has left is removed by name, and once is enough", async () => {
  const runId = name();
  const confinement = await confine(runId, LIMITS);
  await removeConfinement(runId);
  await removeConfinement(runId);
  await removeControlGroup(name());
  await confinement.close();
});

test("where control groups can be read and not made there is none, and nothing to remove", async () => {
  const module = JSON.stringify(join(checkoutRoot(), "dist/src/engines/cgroup.js"));
  const script = `const { openControlGroup, removeControlGroup } = await import(${module});
    await removeControlGroup("${name()}");
    console.log(await openControlGroup("${name()}", ${JSON.stringify(LIMITS)}));`;
  // Mounted read-only as in most containers, in a mount namespace of its own.
  const readOnly = `set -e; for at in $(findmnt -lno TARGET -t cgroup,cgroup2); do mount -o remount,bind,ro "$at"; done; exec "$@"`;
  const argv = ["--mount", "--propagation", "private", "--", "sh", "-c", readOnly, "sh", process.execPath, "--input-type=module", "--eval", script];
  expect((await exec("unshare", argv)).stdout).toBe("null\n");
});

function directoriesOf(group: ControlGroup): string[] {
  return group.enter.filter((word) => word.endsWith("/cgroup.procs")).map((path) => path.replace(/\/cgroup\.procs$/, ""));
}
