import { getPriority } from "node:os";
import { expect, it } from "vitest";
import { exec } from "../../src/engines/exec.ts";

it("a child of background work gets the processor and the disk only where nobody else wants them", async () => {
  const look = ["-c", "nice; ionice --pid $$"];
  const usual = (await exec("sh", look)).stdout.split("\n");
  const background = (await exec("sh", look, { awaited: new AbortController().signal })).stdout.split("\n");
  expect(Number(background[0])).toBe(Math.min(Number(usual[0]) + 10, 19));
  expect(background[1]).toBe("idle");
});

it("a child of background work is raised with all its children when somebody comes to want it, and is not lowered where somebody does", async () => {
  const awaited = new AbortController();
  const waitAndLook =
    'while [ "$(nice)" != "$1" ]; do sleep 0.02; done; nice; until ionice --pid $$ | grep -vq idle; do sleep 0.02; done; echo raised';
  const { stdout } = await exec("sh", ["-c", 'nice; sh -c "$0" sh "$1"', waitAndLook, String(getPriority())], {
    awaited: awaited.signal,
    timeoutMs: 60_000,
    onLine: () => awaited.abort(),
  });
  expect(stdout.split("\n").slice(1, 3)).toEqual([String(getPriority()), "raised"]);
  expect((await exec("nice", [], { awaited: awaited.signal })).stdout).toBe(`${getPriority()}\n`);
});

it("a child speaks one language, whatever the machine's", async () => {
  const before = process.env.LANG;
  process.env.LANG = "de_DE.UTF-8";
  try {
    expect((await exec("sh", ["-c", "echo $LC_ALL $LANG; locale 2>/dev/null | grep LC_MESSAGES"])).stdout).toBe('C.UTF-8\nLC_MESSAGES="C.UTF-8"\n');
  } finally {
    if (before === undefined) delete process.env.LANG;
    else process.env.LANG = before;
  }
});
