import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DaemonClient } from "../../src/dbus/client.ts";
import { Metrics } from "../../src/metrics.ts";
import { serveMetrics } from "../../src/metricssocket.ts";
import { METRICS } from "../../src/scheduler/meter.ts";
import { startBus } from "../harness/bus.ts";
import { startTestService } from "../harness/service.ts";

describe("the metrics as text", () => {
  it("have help and type for each of the table, and the gauges after them", () => {
    const metrics = new Metrics();
    metrics.gauge("active_transactions", "Active.", () => ({ queued: 2, planning: 0 }), "state");
    metrics.gauge("epoch", "The epoch.", () => 7);
    const lines = metrics.render().split("\n");
    for (const [name, { type, help }] of Object.entries(METRICS)) {
      expect(lines).toContain(`# HELP apt_ostree_${name} ${help}`);
      expect(lines).toContain(`# TYPE apt_ostree_${name} ${type}`);
    }
    expect(lines).toContain("apt_ostree_resumes_total 0");
    expect(lines).toEqual(
      expect.arrayContaining(['apt_ostree_active_transactions{state="queued"} 2', 'apt_ostree_active_transactions{state="planning"} 0']),
    );
    expect(lines.slice(-4)).toEqual(["# HELP apt_ostree_epoch The epoch.", "# TYPE apt_ostree_epoch gauge", "apt_ostree_epoch 7", ""]);
  });

  it("count by labels, whose values may hold anything", () => {
    const metrics = new Metrics();
    for (const state of ["finished", "finished", 'a"b\\c\nd']) metrics.count("runs_total", { kind: "install", state });
    metrics.count("resumes_total", {});
    const text = metrics.render();
    expect(text).toContain('apt_ostree_runs_total{kind="install",state="finished"} 2\n');
    expect(text).toContain('apt_ostree_runs_total{kind="install",state="a\\"b\\\\c\\nd"} 1\n');
    expect(text).toContain("apt_ostree_resumes_total 1\n");
  });

  it("add up a distribution in buckets that hold all below them", () => {
    const metrics = new Metrics();
    for (const seconds of [0.001, 0.005, 0.7, 4000]) metrics.observe("lock_wait_seconds", seconds, { stage: "deploying" });
    metrics.observe("exclusive_seconds", 1.5, {});
    const text = metrics.render();
    for (const [bound, count] of [
      ["0.005", 2],
      ["0.5", 2],
      ["1", 3],
      ["1800", 3],
      ["+Inf", 4],
    ])
      expect(text).toContain(`apt_ostree_lock_wait_seconds_bucket{stage="deploying",le="${bound}"} ${count}\n`);
    expect(text).toContain('apt_ostree_lock_wait_seconds_sum{stage="deploying"} 4000.706\n');
    expect(text).toContain('apt_ostree_lock_wait_seconds_count{stage="deploying"} 4\n');
    expect(text).toContain('apt_ostree_exclusive_seconds_bucket{le="2.5"} 1\n');
    expect(text).toContain("apt_ostree_exclusive_seconds_sum 1.5\n");
  });
});

describe("the metrics' socket", () => {
  let directory: string;
  let path: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "apt-ostree-metrics-"));
    path = join(directory, "metrics.sock");
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  const get = (target: string, method = "GET"): Promise<{ status: number; type: string; text: string }> =>
    new Promise((resolve, reject) => {
      const asked = request({ socketPath: path, path: target, method, agent: false }, (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, type: response.headers["content-type"] ?? "", text }));
      });
      asked.on("error", reject);
      asked.end();
    });

  it("answers GET /metrics for everyone, and nothing else", async () => {
    const close = await serveMetrics(path, () => "apt_ostree_epoch 7\n");
    expect(await get("/metrics")).toEqual({ status: 200, type: "text/plain; version=0.0.4; charset=utf-8", text: "apt_ostree_epoch 7\n" });
    expect((await get("/metrics?x=1")).status).toBe(200);
    expect((await get("/")).status).toBe(404);
    expect((await get("/metrics", "POST")).status).toBe(405);
    expect((await stat(path)).mode & 0o777).toBe(0o666);
    await close();
    await expect(get("/metrics")).rejects.toThrow();
  });

  it("takes the place of what a killed daemon left, but of nothing else", async () => {
    const dead = createServer().listen(path);
    await new Promise((resolve) => dead.once("listening", resolve));
    const close = await serveMetrics(path, () => "x 1\n");
    expect((await get("/metrics")).text).toBe("x 1\n");
    await close();
    dead.close();
    await writeFile(join(directory, "precious"), "data");
    await expect(serveMetrics(join(directory, "precious"), () => "")).rejects.toMatchObject({ code: "ConfigInvalid" });
    await expect(serveMetrics("/nowhere/at/all", () => "")).rejects.toMatchObject({ code: "ConfigInvalid" });
  });

  it("is not the only way: the bus has them too", async () => {
    const bus = await startBus();
    const service = await startTestService(bus);
    const client = await DaemonClient.connect(bus.address);
    service.metrics.count("meetings_total", { meeting: "join" });
    expect(await client.metrics()).toContain('apt_ostree_meetings_total{meeting="join"} 1\n');
    await client.close();
    await service.stop();
    await bus.stop();
  });
});
