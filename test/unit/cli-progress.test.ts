import { describe, expect, it } from "vitest";
import type { Clock, Output } from "../../src/cli/context.ts";
import { makeProgress, progressLine } from "../../src/cli/progress.ts";
import type { FollowEvent } from "../../src/dbus/follow.ts";
import type { RunMessage, TransactionView } from "../../src/model/transaction.ts";
import { transactionView } from "../harness/views.ts";

const ESCAPE = String.fromCharCode(27);
const CLEAR = `\r${ESCAPE}[K`;

function view(values: Partial<TransactionView> = {}, percent = 0, text = "", bytes: [number, number] = [0, 0]): TransactionView {
  return transactionView({ state: "assembling", progress: { percent, text, bytesDone: bytes[0], bytesTotal: bytes[1] }, ...values });
}

/** An output that remembers, and a clock that moves when told to. */
class Bench {
  text = "";
  width = 80;
  nowMs = 0;
  readonly #timers: { atMs: number; callback: () => void }[] = [];
  readonly output: Output;
  readonly clock: Clock = {
    nowMs: () => this.nowMs,
    after: (delayMs, callback) => {
      const timer = { atMs: this.nowMs + delayMs, callback };
      this.#timers.push(timer);
      return () => this.#remove(timer);
    },
  };

  constructor(terminal: boolean, colour = false) {
    this.output = {
      terminal,
      colour,
      columns: () => this.width,
      write: (text) => {
        this.text += text;
      },
    };
  }

  get waitingTimers(): number {
    return this.#timers.length;
  }

  advance(ms: number): void {
    this.nowMs += ms;
    for (const timer of this.#timers.filter(({ atMs }) => atMs <= this.nowMs)) {
      this.#remove(timer);
      timer.callback();
    }
  }

  progress(options: { quiet?: boolean; json?: boolean } = {}) {
    const context = { stdout: this.output, stderr: this.output, clock: this.clock };
    return makeProgress(context, { quiet: options.quiet === true, json: options.json === true });
  }

  #remove(timer: { atMs: number; callback: () => void }): void {
    const at = this.#timers.indexOf(timer);
    if (at >= 0) this.#timers.splice(at, 1);
  }
}

const changed = (values: Partial<TransactionView>): FollowEvent => ({ kind: "changed", view: view(values) });
const message = (text: string, level: RunMessage["level"] = "info"): FollowEvent => ({
  kind: "message",
  message: { seq: 1, atMs: 0, level, text },
  view: view({}, 43, "unpacking nginx"),
});

describe("the progress line", () => {
  it("shows percent, what is being done and how much of it", () => {
    expect(progressLine(view({}, 43.9, "unpacking nginx", [12_300_000, 20_100_000]), 80)).toBe("[ 43%] unpacking nginx · 12.3/20.1 MB");
  });

  it("shows how long it will still take and what is wrong, and gives up the class first and the bytes last", () => {
    const whole = view({ eta: { p50Ms: 40_000, p90Ms: 50_000 }, requestClass: "timer" }, 43, "unpacking nginx", [1e6, 2e6]);
    expect(progressLine(whole, 80)).toBe("[ 43%] unpacking nginx · 1.0/2.0 MB · about 40 s left · timer");
    expect(progressLine(whole, 53)).toBe("[ 43%] unpacking ngi… · 1.0/2.0 MB · about 40 s left");
    expect(progressLine(whole, 36)).toBe("[ 43%] unpacking nginx · 1.0/2.0 MB");
    expect(progressLine({ ...whole, warning: "no progress for 2 min" }, 120)).toContain("[ 43%] no progress for 2 min: unpacking nginx · ");
    const waiting = view({ state: "queued", position: 2, waitingFor: "sysroot is held by upgrade", eta: { p50Ms: 5000, p90Ms: 5000 } });
    expect(progressLine(waiting, 80)).toBe("waiting (2nd): sysroot is held by upgrade · about 5 s left");
    expect(progressLine({ ...whole, state: "finished" }, 80)).not.toContain("left");
  });

  it("says for what and in which place a transaction waits", () => {
    const waiting = { state: "queued" as const, position: 2, waitingFor: "sysroot is held by upgrade (7f3a5c9d1e20)" };
    expect(progressLine(view(waiting), 80)).toBe("waiting (2nd): sysroot is held by upgrade (7f3a5c9d1e20)");
    expect(progressLine(view({ ...waiting, state: "deploying", position: 0 }, 80), 80)).toBe(
      "[ 80%] waiting: sysroot is held by upgrade (7f3a5c9d1e20)",
    );
  });

  it("is shorter than every terminal, and gives up the text before the numbers", () => {
    const long = view({}, 43, "unpacking a-package-with-quite-a-long-name", [12_300_000, 20_100_000]);
    for (let columns = 1; columns <= 120; columns++) expect([...progressLine(long, columns)].length).toBeLessThan(Math.max(columns, 1));
    expect(progressLine(long, 45)).toMatch(/^\[ 43%\] unpacking.*… · 12\.3\/20\.1 MB$/);
    expect(progressLine(long, 20)).toBe("[ 43%] unpacking a…");
  });

  it("lets no text of a package steer the terminal", () => {
    const line = progressLine(view({}, 1, `evil${ESCAPE}]0;title\u0007 ${ESCAPE}[2Jname\r\n\u009b1m`), 80);
    expect(line).not.toMatch(/\p{Cc}/u);
    expect(line).toContain("evil");
  });
});

describe("progress on a terminal", () => {
  it("is redrawn at most ten times a second and always with the newest state", () => {
    const bench = new Bench(true);
    const progress = bench.progress();
    for (let ms = 0; ms < 1000; ms += 5) {
      progress.show({ kind: "progress", view: view({}, ms / 10, `step ${ms}`) });
      bench.advance(5);
    }
    bench.advance(100);
    const draws = bench.text.split(CLEAR).slice(1);
    expect(draws.length).toBeLessThanOrEqual(11);
    expect(draws.length).toBeGreaterThanOrEqual(9);
    expect(draws.at(-1)).toBe("[ 99%] step 995");
  });

  it("never loses the last line, and leaves no timer behind", () => {
    const bench = new Bench(true);
    const progress = bench.progress();
    progress.show({ kind: "progress", view: view({}, 10, "one") });
    progress.show({ kind: "progress", view: view({}, 11, "two") });
    progress.show({ kind: "finished", view: view({ state: "finished" }, 100) });
    progress.end();
    expect(bench.text.endsWith(`${CLEAR}[100%] done\n`)).toBe(true);
    expect(bench.waitingTimers).toBe(0);
  });

  it("shows how far a failed transaction got", () => {
    const bench = new Bench(true);
    const progress = bench.progress();
    progress.show({ kind: "progress", view: view({}, 43, "unpacking nginx") });
    progress.show({ kind: "finished", view: view({ state: "failed" }, 0) });
    progress.end();
    expect(bench.text.endsWith(`${CLEAR}[ 43%] unpacking nginx: failed\n`)).toBe(true);
  });

  it("prints messages above the line", () => {
    const bench = new Bench(true);
    const progress = bench.progress();
    progress.show({ kind: "progress", view: view({}, 43, "unpacking nginx") });
    progress.show(message("careful", "warning"));
    expect(bench.text).toBe(`${CLEAR}[ 43%] unpacking nginx${CLEAR}warning: careful\n[ 43%] unpacking nginx`);
  });

  it("follows the width of the window", () => {
    const bench = new Bench(true);
    const progress = bench.progress();
    progress.show({ kind: "progress", view: view({}, 43, "unpacking nginx") });
    bench.width = 12;
    bench.advance(200);
    progress.show({ kind: "progress", view: view({}, 44, "unpacking nginx") });
    expect(bench.text.endsWith(`${CLEAR}[ 44%] unp…`)).toBe(true);
  });

  it("says that the daemon went and that it came back", () => {
    const bench = new Bench(true);
    const progress = bench.progress();
    progress.show({ kind: "lost" });
    progress.show({ kind: "resumed", view: view({}, 5, "planning") });
    expect(bench.text).toContain("Lost apt-ostreed; waiting for it to come back…\n");
    expect(bench.text).toContain("apt-ostreed is back; following again\n");
  });
});

describe("progress in a pipe", () => {
  it("is one plain line for each stage", () => {
    const bench = new Bench(false);
    const progress = bench.progress();
    progress.show(changed({ state: "queued", position: 2, waitingFor: "packages is held by upgrade (1)" }));
    progress.show(changed({ state: "queued", position: 2, waitingFor: "packages is held by upgrade (1)" }));
    progress.show(changed({ state: "planning" }));
    progress.show(changed({ state: "downloading" }));
    progress.show({ kind: "progress", view: view({ state: "downloading" }, 20, "nginx") });
    progress.show(message("a word"));
    progress.show(changed({ state: "assembling" }));
    progress.show(changed({ state: "cleaning" }));
    progress.show({ kind: "finished", view: view({ state: "finished" }) });
    progress.end();
    expect(bench.text).toBe(
      "Waiting (2nd): packages is held by upgrade (1)\nPlanning… done\nDownloading…\na word\nDownloading… done\nAssembling… done\n",
    );
  });

  it("gives a warning a line of its own, once", () => {
    const bench = new Bench(false);
    const progress = bench.progress();
    progress.show(changed({ state: "assembling" }));
    progress.show(changed({ state: "assembling", warning: "no progress for 2 min" }));
    progress.show(changed({ state: "assembling", warning: "no progress for 2 min" }));
    progress.show({ kind: "finished", view: view({ state: "finished" }) });
    expect(bench.text).toBe("Assembling…\nwarning: no progress for 2 min\nAssembling… done\n");
  });

  it("says which stage failed and that a cancellation is done", () => {
    const failing = new Bench(false);
    const first = failing.progress();
    for (const state of ["assembling", "cleaning"] as const) first.show(changed({ state }));
    first.show({ kind: "finished", view: view({ state: "failed" }) });
    expect(failing.text).toBe("Assembling… failed\n");

    const cancelled = new Bench(false);
    const second = cancelled.progress();
    for (const state of ["downloading", "cancelling", "cleaning"] as const) second.show(changed({ state }));
    second.show({ kind: "finished", view: view({ state: "cancelled" }) });
    expect(cancelled.text).toBe("Downloading… stopped\nCancelling… done\n");
  });

  it("completes its last line when following is given up", () => {
    const bench = new Bench(false);
    const progress = bench.progress();
    progress.show(changed({ state: "downloading" }));
    progress.end();
    expect(bench.text).toBe("Downloading…\n");
  });
});

describe("progress for programs", () => {
  it("is one JSON object a line, the last one being the end", () => {
    const bench = new Bench(true);
    const progress = bench.progress({ json: true });
    progress.submitted("7f3a5c9d1e20");
    progress.show(changed({ state: "planning" }));
    progress.show({ kind: "progress", view: view({}, 43, "unpacking nginx", [1, 2]) });
    progress.show(message("two\nlines"));
    progress.show({ kind: "lost" });
    progress.show({ kind: "finished", view: view({ state: "finished" }, 100) });
    progress.end();
    const events = bench.text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.map(({ event }) => event)).toEqual(["submitted", "changed", "progress", "message", "lost", "finished"]);
    expect(events[2]).toEqual({
      event: "progress",
      id: "7f3a5c9d1e20",
      state: "assembling",
      percent: 43,
      text: "unpacking nginx",
      bytesDone: 1,
      bytesTotal: 2,
      eta: null,
    });
    expect(events[5].transaction.state).toBe("finished");
  });

  it("is nothing but warnings where it is to be quiet", () => {
    const bench = new Bench(true);
    const progress = bench.progress({ quiet: true });
    progress.show(changed({ state: "planning" }));
    progress.show(message("nothing much"));
    progress.show(message("look here", "warning"));
    progress.end();
    expect(bench.text).toBe("warning: look here\n");
  });
});
