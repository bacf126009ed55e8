import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ActorRefFrom, createActor, type SnapshotFrom, waitFor } from "xstate";
import { getShortestPaths } from "xstate/graph";
import { type ResumePoint, type RunWork, type TransactionInput, transactionMachine } from "../../machines/transaction.ts";
import type { ErrorValue } from "../../src/model/errors.ts";
import { FINAL_STATES, KINDS, STAGES, STAGES_OF } from "../../src/model/transaction.ts";

type Snapshot = SnapshotFrom<typeof transactionMachine>;

/** Work that never ends by itself. */
const HANGING: RunWork = {
  runStage: () => new Promise<never>(() => undefined),
  abortStage: () => undefined,
  rollBack: () => new Promise<never>(() => undefined),
  clean: () => new Promise<never>(() => undefined),
};

const FAILURE: ErrorValue = { code: "ScriptFailed", message: "cannot configure nginx: exit status 1" };

/** What the outside can tell the machine in a state: the ends of whatever it has invoked, and the events of its own. */
function eventsOf(snapshot: Snapshot): object[] {
  const invoked = Object.values(snapshot.children).map((child) => (child as { id: string }).id);
  const ends = invoked.flatMap((id) => [
    ...["proceed", "replan", "settled"].map((output) => ({ type: `xstate.done.actor.${id}`, output, actorId: id })),
    { type: `xstate.error.actor.${id}`, error: FAILURE, actorId: id },
  ]);
  return [...ends, { type: "CANCEL" }, { type: "STAGE_BEGAN" }];
}

function pathsOf(input: TransactionInput) {
  return getShortestPaths(transactionMachine, {
    input,
    events: (snapshot: Snapshot) => eventsOf(snapshot) as never,
    serializeState: (snapshot) => JSON.stringify([snapshot.value, snapshot.context.error, snapshot.context.cancelRequested]),
  });
}

/** Every state with its ancestors, "assembling" and "assembling.working" alike. */
function namesIn(value: unknown, prefix = ""): string[] {
  if (typeof value === "string") return [prefix + value];
  return Object.entries(value as object).flatMap(([name, inner]) => [prefix + name, ...namesIn(inner, `${prefix}${name}.`)]);
}

/** All states of the chart, save those that are left at once. */
function allStates(): string[] {
  return Object.values(transactionMachine.states)
    .flatMap((state) => [state, ...Object.values(state.states)])
    .filter((state) => state.always === undefined || state.always.length === 0)
    .map((state) => state.path.join("."));
}

const inputs: TransactionInput[] = KINDS.map((kind) => ({ work: HANGING, stages: STAGES_OF[kind] }));

describe("the chart of a run", () => {
  it("has no state that no kind of run can come to", () => {
    const reached = new Set(inputs.flatMap((input) => pathsOf(input).flatMap((path) => namesIn(path.state.value))));
    expect([...reached].toSorted()).toEqual(allStates().toSorted());
  });

  it("has no state that an end cannot be come to from, and none after an end", () => {
    for (const input of inputs) {
      for (const { state } of pathsOf(input)) {
        if (state.status === "done") {
          expect(FINAL_STATES as readonly unknown[]).toContain(state.value);
          for (const event of eventsOf(state)) expect(state.can(event as never), JSON.stringify(event)).toBe(false);
        } else {
          const ends = getShortestPaths(transactionMachine, {
            fromState: state,
            events: (snapshot: Snapshot) => eventsOf(snapshot) as never,
            serializeState: (snapshot) => JSON.stringify([snapshot.value, snapshot.context.error, snapshot.context.cancelRequested]),
          }).filter((path) => path.state.status === "done");
          expect(ends.length, JSON.stringify(state.value)).toBeGreaterThan(0);
        }
      }
    }
  });

  it("comes to exactly one of its ends along every path, through cleaning", () => {
    for (const input of inputs) {
      for (const path of pathsOf(input).filter((p) => p.state.status === "done")) {
        const states = path.steps.map((step) => step.state.value);
        expect(states.filter((value) => (FINAL_STATES as readonly unknown[]).includes(value)).length).toBeLessThanOrEqual(1);
        expect(states).toContain("cleaning");
      }
    }
  });

  it("obeys CANCEL in every stage until a deployment begins to be written, and never after", () => {
    for (const input of inputs) {
      for (const { state } of pathsOf(input)) {
        const names = namesIn(state.value);
        const before = STAGES.some((stage) => names.includes(stage)) && !names.includes("deploying.committing");
        const stopping = names.includes("deploying.cancelling");
        expect(state.can({ type: "CANCEL" }), JSON.stringify(state.value)).toBe(before && !stopping);
        expect(state.hasTag("committed"), JSON.stringify(state.value)).toBe(!before && state.status !== "done");
      }
    }
  });

  it("cancels where the stage ends well all the same, and fails where nobody cancelled", () => {
    for (const input of inputs) {
      for (const { state } of pathsOf(input).filter((path) => path.state.status === "done")) {
        const expected = state.context.error !== null ? "failed" : state.context.cancelRequested ? "cancelled" : "finished";
        expect(state.value).toBe(expected);
      }
    }
  });

  it("goes only through the stages of its kind", () => {
    for (const input of inputs) {
      const used = new Set(pathsOf(input).flatMap(({ state }) => namesIn(state.value)));
      expect(STAGES.filter((stage) => used.has(stage))).toEqual(input.stages);
    }
  });

  it("describes every state in a few words", () => {
    for (const state of Object.values(transactionMachine.states)) {
      if (state.key === "settling") continue;
      expect(state.description, state.key).toMatch(/^[a-z]/);
    }
  });

  it("is taken up again in any state that the journal may name", () => {
    const points: ResumePoint[] = [...STAGES, "rollingBack", "cleaning"];
    for (const at of points) {
      const actor = createActor(transactionMachine, {
        input: { work: HANGING, stages: STAGES, resume: { at, error: null, cancelRequested: false } },
      });
      actor.start();
      expect(namesIn(actor.getSnapshot().value)[0]).toBe(at);
      expect(Object.keys(actor.getSnapshot().children)).toHaveLength(1);
      actor.stop();
    }
  });
});

type Fate = "proceed" | "replan" | "settled" | "fail" | "hang";

describe("a run", () => {
  it("ends whatever its stages do and whenever it is cancelled, cleaned once, after its last stage", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.constantFrom(...KINDS),
        fc.array(fc.constantFrom<Fate>("proceed", "proceed", "proceed", "replan", "settled", "fail", "hang"), { maxLength: 12 }),
        fc.record({ cancelled: fc.boolean(), cleans: fc.boolean(), undoes: fc.boolean() }),
        async (scheduler, kind, chosen, { cancelled, cleans, undoes }) => {
          const log: string[] = [];
          const fates = [...chosen];
          let running = 0;
          let abort = new AbortController();
          let actor: ActorRefFrom<typeof transactionMachine> | undefined;
          const step = (name: string): Promise<void> => scheduler.schedule(Promise.resolve(), name);

          const work: RunWork = {
            runStage: async (stage) => {
              running += 1;
              log.push(stage);
              abort = new AbortController();
              const { signal } = abort;
              try {
                await step(`${stage} waits`);
                if (signal.aborted) throw FAILURE;
                actor?.send({ type: "STAGE_BEGAN" });
                await step(`${stage} works`);
                const fate = fates.shift() ?? "proceed";
                if (fate === "fail") throw FAILURE;
                if (fate !== "hang") return fate;
                // A stage that hangs is stopped by a cancel, or by its own deadline where none comes.
                await step(`${stage} hangs`);
                throw FAILURE;
              } finally {
                await step(`${stage} ends its children`);
                running -= 1;
              }
            },
            abortStage: () => abort.abort(),
            rollBack: async () => {
              expect(running).toBe(0);
              log.push("rollBack");
              await step("rolls back");
              if (!undoes) throw FAILURE;
            },
            clean: async () => {
              expect(running).toBe(0);
              log.push("clean");
              await step("cleans");
              if (!cleans) throw FAILURE;
            },
          };
          actor = createActor(transactionMachine, { input: { work, stages: STAGES_OF[kind] } });
          const ended = waitFor(actor, (snapshot) => snapshot.status === "done", { timeout: 60_000 });
          actor.start();
          let obeyed = false;
          if (cancelled) {
            void step("somebody cancels").then(() => {
              obeyed = actor?.getSnapshot().can({ type: "CANCEL" }) === true;
              if (obeyed) actor?.send({ type: "CANCEL" });
            });
          }
          const last = await scheduler.waitFor(ended);
          await scheduler.waitAll();

          expect(FINAL_STATES).toContain(last.value);
          expect(log.filter((entry) => entry === "clean")).toHaveLength(1);
          expect(log.at(-1)).toBe("clean");
          expect(running).toBe(0);
          if (obeyed) expect(last.value).toBe("cancelled");
          if (log.includes("rollBack")) expect(log.at(-3)).toBe("deploying");
          if (last.value === "failed") expect(last.context.error).toEqual(FAILURE);
        },
      ),
      { numRuns: 400 },
    );
  });
});
