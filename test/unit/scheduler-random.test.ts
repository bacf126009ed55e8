import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { AptOstreeError } from "../../src/model/errors.ts";
import { FINAL_STATES, KINDS, type TransactionView } from "../../src/model/transaction.ts";
import { World } from "../harness/controlled-engines.ts";
import { Daemon, ROOT } from "../harness/daemon.ts";

const steps = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant("submit" as const), kind: fc.constantFrom(...KINDS), name: fc.constantFrom("vim", "nano") }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat() }) },
  ),
  { minLength: 1, maxLength: 12 },
);
const fates = fc.array(fc.constantFrom("succeed", "succeed", "succeed", "succeed", "fail", "settle", "change"), { maxLength: 30 });

/** Yields for as long as the pauses say, so that requests fall between any two steps of the work. */
async function pause(turns: number): Promise<void> {
  for (let i = 0; i < turns; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function checkHistory(daemon: Daemon, ids: readonly string[]): Promise<void> {
  const views = await Promise.all(ids.map((id) => daemon.ended(id)));
  for (const view of views) {
    expect(FINAL_STATES).toContain(view.state);
    expect(view.error === null).toBe(view.state === "finished");
    const events = daemon.eventsOf(view.id).map((seen) => seen.event);
    expect(events[0]).toBe("added");
    expect(events.at(-1)).toBe("finished");
    expect(events.filter((event) => event === "added" || event === "finished")).toHaveLength(2);
    // Who shared a run, wanted the same and did not leave it has the same result.
    const alike = (o: TransactionView): boolean => o.runId === view.runId && o.title === view.title;
    for (const other of views.filter((o) => alike(o) && o.state !== "cancelled" && view.state !== "cancelled")) {
      expect([other.state, other.result, other.error]).toEqual([view.state, view.result, view.error]);
    }
  }
  const runs = new Set(views.map((view) => view.runId));
  for (const run of runs) expect(daemon.engines.world.count(`clean ${run}`)).toBe(1);
  expect(daemon.engines.world.violations).toEqual([]);
  expect(await daemon.journal.unfinished()).toEqual([]);
  expect(daemon.scheduler.idle).toBe(true);
}

it("whatever is asked, cancelled and failing in whichever order, every transaction ends once and no lock is left", async () => {
  await fc.assert(
    fc.asyncProperty(steps, fates, fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 40 }), async (asked, chosen, pauses) => {
      const directory = mkdtempSync(join(tmpdir(), "random-"));
      const daemon = await Daemon.start(directory, { world: new World() });
      try {
        let turn = 0;
        let stage = 0;
        const nextPause = (): Promise<void> => pause(pauses[turn++ % pauses.length] ?? 0);
        daemon.engines.behave = async (name, _input, io) => {
          const fate = chosen[stage++] ?? "succeed";
          await nextPause();
          if (io.signal.aborted) throw new AptOstreeError("Cancelled", "cancelled");
          if (fate === "fail") throw new AptOstreeError("ScriptFailed", "cannot go on: it was to fail");
          if (fate === "change") {
            daemon.engines.world.deploy("");
            await daemon.scheduler.reload();
          }
          if (fate === "settle" && name !== "deploying") return { facts: {}, cached: true, verdict: "settled" };
          return undefined;
        };
        const ids: string[] = [];
        const cancels: Promise<unknown>[] = [];
        for (const step of asked) {
          if (step.do === "submit") {
            const takesNames = step.kind === "install" || step.kind === "uninstall" || step.kind === "prefetch";
            const submitted =
              step.kind === "undo" ? daemon.undo(ids.at(-1) ?? "000000000000") : daemon.submit(step.kind, takesNames ? [step.name] : []);
            const id = await submitted.catch((error: unknown) => {
              expect(step.kind).toBe("undo");
              expect(["NotFound", "Conflict"]).toContain((error as AptOstreeError).code);
              return null;
            });
            if (id !== null) ids.push(id);
          } else if (ids.length > 0) {
            const cancel = daemon.scheduler.cancel(ids[step.which % ids.length] ?? "", ROOT);
            cancels.push(cancel.catch((error: unknown) => expect(error).toMatchObject({ code: "TooLate" })));
          }
          await nextPause();
        }
        await Promise.all(cancels);
        await checkHistory(daemon, ids);
        daemon.engines.behave = async () => undefined;
        await daemon.expectLocksFree();
      } finally {
        await daemon.kill();
        rmSync(directory, { recursive: true });
      }
    }),
    { numRuns: 30 },
  );
});
