import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { takeLock } from "../../src/engines/ofdlock.ts";

const COMPILED = new URL("../../dist/src/engines/ofdlock.js", import.meta.url).href;
let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lock-"));
  path = join(directory, "state", "lock");
});

afterEach(() => rmSync(directory, { recursive: true }));

describe("the lock on a state directory", () => {
  it("keeps a second holder out, naming the first, until it is released", () => {
    const lock = takeLock(path);
    expect(() => takeLock(path)).toThrow(
      expect.objectContaining({
        code: "AlreadyRunning",
        message: `cannot lock ${path}: process ${process.pid} holds it`,
        details: { path, pid: process.pid },
      }),
    );
    lock.release();
    lock.release();
    takeLock(path).release();
  });

  it("goes with a process that is killed, though a child of it lives on", async () => {
    const script = `
      const { takeLock } = await import(${JSON.stringify(COMPILED)});
      const { spawn } = await import("node:child_process");
      takeLock(process.argv[1]);
      const child = spawn("sleep", ["60"], { stdio: "ignore", detached: true });
      console.log(child.pid);
      setInterval(() => undefined, 1000);`;
    const holder = spawn(process.execPath, ["--input-type=module", "-e", script, path], { stdio: ["ignore", "pipe", "inherit"] });
    const closed = once(holder, "close");
    const [output] = (await once(holder.stdout, "data")) as [Buffer];
    const sleeper = Number(output.toString());
    try {
      expect(() => takeLock(path)).toThrow(`process ${holder.pid} holds it`);
      holder.kill("SIGKILL");
      await closed;
      takeLock(path).release();
      process.kill(sleeper, 0);
    } finally {
      process.kill(sleeper, "SIGKILL");
    }
  });

  it("names nobody when what the file says is not to be believed", () => {
    const lock = takeLock(path);
    writeFileSync(path, "4194999\n");
    expect(() => takeLock(path)).toThrow(`cannot lock ${path}: another program holds it`);
    lock.release();
  });

  it("names a path that cannot be locked", () => {
    writeFileSync(join(directory, "state"), "a file");
    expect(() => takeLock(path)).toThrow(expect.objectContaining({ code: "ConfigInvalid", message: expect.stringContaining(path) }));
  });
});
