import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkHistory, type Violation } from "../../src/scheduler/lock-check.ts";
import { type LockEvent, LockHistory } from "../../src/scheduler/lock-history.ts";
import { LOCK_MODES, type LockMode, type Need, RESOURCES, type Resource } from "../../src/scheduler/lock-table.ts";
import { LockManager, type LockPriority, Locks, type Ticket } from "../../src/scheduler/locks.ts";
import { findCycle, lockReport, waitsForGraph } from "../../src/scheduler/waits-for.ts";

const AGE_MS = 30_000;
const PROPERTY = { seed: Number(process.env.SEED ?? Date.now() % 2 ** 31), numRuns: 300, verbose: 1 };

const on = (mode: LockMode, resource: Resource = "sysroot"): Need[] => [{ resource, mode }];

function recorded(capacity?: number) {
  const clock = { ms: 0 };
  const history = new LockHistory(capacity);
  const locks = new LockManager({ now: () => clock.ms, ageMs: AGE_MS, onEvent: (change) => history.record(change) });
  const ask = (owner: string, needs: Need[], priority: LockPriority = "interactive"): Ticket => locks.request(owner, needs, { priority });
  const told = (): string[] => history.events().map(({ seq, what, owner }) => `${seq} ${what} ${owner}`);
  return { clock, history, locks, ask, told };
}

/** As a manager would number what is left, so that only the rules can tell. */
function renumbered(events: readonly LockEvent[]): LockEvent[] {
  let outstanding = 0;
  return events.map((event, index) => {
    if (event.what === "request") outstanding += 1;
    if (event.what === "release" || event.what === "cancel") outstanding -= 1;
    return { ...event, seq: index + 1, outstanding };
  });
}

const rulesOf = (violations: readonly Violation[]): string[] => [...new Set(violations.map(({ rule }) => rule))];

describe("the history of the locks", () => {
  it("tells each change in the order in which it takes effect", () => {
    const { clock, history, locks, ask, told } = recorded();
    const assembler = ask("assembler", on("U"));
    const pruner = ask("pruner", on("X"), "background");
    const next = ask("next", on("D"));
    locks.prioritise(pruner, "interactive");
    locks.upgrade(assembler, "sysroot", "D");
    locks.cancel(pruner);
    clock.ms = 70;
    locks.release(assembler);
    locks.release(assembler);
    locks.release(next);
    expect(told()).toEqual([
      "1 request assembler",
      "2 grant assembler",
      "3 request pruner",
      "4 request next",
      "5 prioritise pruner",
      "6 upgrade assembler",
      "7 cancel pruner",
      "8 release assembler",
      "9 grant next",
      "10 release next",
    ]);
    expect(history.events()[5]).toEqual({
      seq: 6,
      what: "upgrade",
      atMs: 0,
      owner: "assembler",
      needs: on("D"),
      priority: "interactive",
      outstanding: 3,
    });
    expect(history.events()[8]).toMatchObject({ atMs: 70, outstanding: 1 });
  });

  it("keeps the newest", () => {
    const { history, locks, ask, told } = recorded(3);
    for (let index = 0; index < 5; index++) locks.release(ask(`run${index}`, on("D")));
    expect(told()).toEqual(["13 request run4", "14 grant run4", "15 release run4"]);
    expect(history.length).toBe(3);
  });
});

describe("the check of a history", () => {
  /** Runs that deploy one after another, while the next ones wait. */
  function deployments(count: number): LockEvent[] {
    const { history, locks, ask } = recorded();
    const tickets = Array.from({ length: count }, (_, index) => ask(`run${index}`, on("D")));
    for (const ticket of tickets) locks.release(ticket);
    return [...history.events()];
  }

  const nth = (events: readonly LockEvent[], what: LockEvent["what"], index: number): number =>
    events.findIndex((event) => event.what === what && event.owner === `run${index}`);

  const histories = fc.integer({ min: 3, max: 12 }).chain((count) => fc.record({ count: fc.constant(count), index: fc.nat({ max: count - 3 }) }));

  function detects(name: string, expected: Violation["rule"], mutate: (events: LockEvent[], index: number) => LockEvent[]): void {
    it(`detects ${name}`, () => {
      fc.assert(
        fc.property(histories, ({ count, index }) => {
          const events = deployments(count);
          expect(checkHistory(events, AGE_MS)).toEqual([]);
          expect(rulesOf(checkHistory(renumbered(mutate(events, index)), AGE_MS))).toContain(expected);
        }),
        { ...PROPERTY, numRuns: 50 },
      );
    });
  }

  detects("a release that is missing", "exclusive", (events, index) => events.filter((_, at) => at !== nth(events, "release", index)));
  detects("a second release", "releasedOnce", (events, index) => events.toSpliced(-1, 0, events[nth(events, "release", index)] as LockEvent));
  detects("a release by one who waits", "releasedOnce", (events, index) => {
    const grant = nth(events, "grant", index);
    return events.toSpliced(grant, 0, { ...(events[grant] as LockEvent), what: "release" });
  });
  detects("two grants that changed places", "order", (events, index) => {
    const owners = [`run${index + 1}`, `run${index + 2}`];
    return events.map((event) => {
      const other = event.what === "request" ? -1 : owners.indexOf(event.owner);
      return other < 0 ? event : { ...event, owner: owners[1 - other] as string };
    });
  });
  detects("a second deployment beside the first", "exclusive", (events, index) => {
    const at = nth(events, "grant", index);
    return events.toSpliced(at + 1, 0, { ...(events[at] as LockEvent), owner: `run${index + 1}` });
  });
  detects("a grant that nobody asked for", "asked", (events, index) => {
    const at = nth(events, "grant", index);
    return events.with(at, { ...(events[at] as LockEvent), owner: "stranger" });
  });
  detects("a grant of more than was asked for", "asked", (events, index) => {
    const at = nth(events, "grant", index);
    return events.with(at, { ...(events[at] as LockEvent), needs: [...on("P", "repo"), ...on("D")] });
  });
  detects("a grant that is missing: a wake-up that was lost", "awake", (events, index) =>
    events.filter(({ what, owner }) => owner !== `run${index}` || what === "request"),
  );
  detects("a second request of one owner", "oneTicket", (events, index) => {
    const at = nth(events, "grant", index);
    return events.toSpliced(at + 1, 0, { ...(events[at] as LockEvent), what: "request" });
  });
  detects("an upgrade of what is not held for update", "upgrade", (events, index) => {
    const at = nth(events, "grant", index);
    return events.toSpliced(at + 1, 0, { ...(events[at] as LockEvent), what: "upgrade" });
  });

  it("detects any gap, and names it", () => {
    fc.assert(
      fc.property(histories, ({ count, index }) => {
        const events = deployments(count);
        const missing = events[index + 1] as LockEvent;
        const rules = checkHistory(
          events.filter((event) => event !== missing),
          AGE_MS,
        ).filter(({ seq }) => seq === missing.seq + 1);
        expect(rulesOf(rules)).toContain("gapless");
      }),
      { ...PROPERTY, numRuns: 50 },
    );
  });

  it("names the event and both owners", () => {
    const events = deployments(2);
    const released = nth(events, "release", 0);
    expect(checkHistory(renumbered(events.toSpliced(released, 1)), AGE_MS)).toEqual([{ seq: 4, owners: ["run1", "run0"], rule: "exclusive" }]);
  });

  it("sees what excludes after an upgrade only", () => {
    const { history, locks, ask } = recorded();
    const assembler = ask("assembler", on("U"));
    ask("planner", on("P"));
    locks.upgrade(assembler, "sysroot", "D");
    expect(checkHistory(history.events(), AGE_MS)).toEqual([]);
    const pruning = history.events().map((event) => (event.owner === "planner" ? { ...event, needs: on("U") } : event));
    expect(rulesOf(checkHistory(pruning, AGE_MS))).toEqual(["exclusive"]);
  });

  it("goes back to its full strength once it knows of all owners, though the beginning is lost", () => {
    const { history, locks, ask } = recorded(9);
    const old = ask("old", on("P", "repo"));
    for (let index = 0; index < 5; index++) locks.release(ask(`run${index}`, on("D")));
    const events = (): LockEvent[] => [...history.events()];
    const withoutLastGrant = (): LockEvent[] => events().toSpliced(-1, 1);
    const first = ask("first", on("D"));
    expect(checkHistory(withoutLastGrant(), AGE_MS)).toEqual([]);
    locks.release(first);
    locks.release(old);
    ask("second", on("D"));
    expect(checkHistory(events(), AGE_MS)).toEqual([]);
    expect(checkHistory(withoutLastGrant(), AGE_MS)).toMatchObject([{ owners: ["second", "second"], rule: "awake" }]);
  });
});

describe("whatever happens to the locks", () => {
  const pick = fc.nat({ max: 1000 });
  const needs = fc
    .array(fc.option(fc.constantFrom(...LOCK_MODES), { freq: 2 }), { minLength: 4, maxLength: 4 })
    .map((modes) => RESOURCES.flatMap((resource, index) => (modes[index] ? [{ resource, mode: modes[index] as LockMode }] : [])));
  const priority = fc.constantFrom("interactive" as const, "background" as const);
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant("request" as const), needs, priority }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("release" as const, "upgrade" as const), pick }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("cancel" as const, "settle" as const), pick }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("prioritise" as const), pick, priority }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat({ max: AGE_MS }) }) },
  );

  it("the history breaks no rule, nor does any part of it, and nobody waits in a circle", () => {
    const ticksMs = fc.array(fc.nat({ max: 2000 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: "max" }), ticksMs, fc.integer({ min: 1, max: 40 }), (script, ticks, capacity) => {
        let nowMs = 0;
        let looks = 0;
        const history = new LockHistory();
        const newest = new LockHistory(capacity);
        const manager = new LockManager({
          // A clock that goes on whenever it is looked at: nothing may depend on two looks being the same.
          now: () => (nowMs += ticks[looks++ % ticks.length] ?? 0),
          ageMs: AGE_MS,
          onEvent: (change) => {
            history.record(change);
            newest.record(change);
          },
        });
        for (const [index, each] of script.entries()) {
          const [waiting, holders] = [manager.queue(), manager.holders()];
          const all = [...holders, ...waiting];
          if (each.do === "request") manager.request(`run${index % 25}.${index}`, each.needs, { priority: each.priority });
          else if (each.do === "wait") nowMs += each.ms;
          else if (each.do === "settle") manager.settle();
          else if (each.do === "release" && holders.length > 0) manager.release(holders[each.pick % holders.length] as Ticket);
          else if (each.do === "cancel" && waiting.length > 0) manager.cancel(waiting[each.pick % waiting.length] as Ticket);
          else if (each.do === "prioritise" && all.length > 0) manager.prioritise(all[each.pick % all.length] as Ticket, each.priority);
          else if (each.do === "upgrade") {
            const assembler = holders.find((holder) => holder.needs.some(({ mode }) => mode === "U"));
            const need = assembler?.needs.find(({ mode }) => mode === "U");
            if (assembler !== undefined && need !== undefined) manager.upgrade(assembler, need.resource, "D");
          }
          expect(findCycle(waitsForGraph(manager))).toBeNull();
          expect(checkHistory(newest.events(), AGE_MS)).toEqual([]);
        }
        expect(checkHistory(history.events(), AGE_MS)).toEqual([]);
        expect(history.events().at(-1)?.outstanding ?? 0).toBe(manager.holders().length + manager.queue().length);
      }),
      PROPERTY,
    );
  });

  it("through leases, in any order of events: all are served, none beside what excludes it, and each releases once", async () => {
    const worker = fc.record({ needs, priority, cancels: fc.boolean(), noWait: fc.boolean(), releases: fc.integer({ min: 1, max: 3 }) });
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(worker, { minLength: 2, maxLength: 8, size: "max" }), async (scheduler, workers) => {
        const history = new LockHistory();
        const locks = new Locks({ now: () => 0, onEvent: (change) => history.record(change) });
        const inside = new Map<string, readonly Need[]>();
        const ends: string[] = [];
        const work = async (index: number, each: (typeof workers)[number]): Promise<void> => {
          const owner = `run${index}`;
          const abort = new AbortController();
          await scheduler.schedule(Promise.resolve(), `${owner} asks`);
          if (each.cancels) void scheduler.schedule(Promise.resolve(), `${owner} is cancelled`).then(() => abort.abort());
          const options = { owner, priority: each.priority, noWait: each.noWait, signal: abort.signal };
          const lease = await locks.acquire(each.needs, options).catch((error: { code: string }) => error.code);
          if (typeof lease === "string") return void ends.push(lease);
          inside.set(owner, lease.needs);
          await scheduler.schedule(Promise.resolve(), `${owner} works`);
          for (const { resource, mode } of lease.needs) if (mode === "U") await lease.upgrade(resource);
          inside.set(owner, lease.needs);
          await scheduler.schedule(Promise.resolve(), `${owner} is done`);
          for (const [other, held] of inside)
            for (const { resource, mode } of other === owner ? [] : held) {
              const mine = lease.needs.find((need) => need.resource === resource)?.mode;
              if (mine !== undefined) expect(`${mine}${mode}`).not.toMatch(/X|[UD][UD]/);
            }
          inside.delete(owner);
          for (let time = 0; time < each.releases; time++) lease.release();
          ends.push("served");
        };
        const all = Promise.all(workers.map((each, index) => work(index, each)));
        await scheduler.waitFor(all);
        expect(ends).toHaveLength(workers.length);
        for (const [index, { cancels, noWait }] of workers.entries())
          if (!cancels && !noWait)
            expect(history.events().filter(({ what, owner }) => what === "release" && owner === `run${index}`)).toHaveLength(1);
        expect(lockReport(locks.manager, history)).toMatchObject({ holders: [], waiting: [], graph: [], cycle: null, violations: [] });
      }),
      { ...PROPERTY, numRuns: 200 },
    );
  });
});

describe("a report of the locks", () => {
  it("tells who holds, who waits in which order, and for whom", () => {
    const { clock, history, locks, ask } = recorded();
    ask("upgrade", on("U"));
    clock.ms = 5;
    ask("cleanup", on("X"), "background");
    ask("install", on("U"));
    const report = lockReport(locks, history);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    expect(report).toEqual({
      holders: [{ owner: "upgrade", needs: on("U"), priority: "interactive", requestedMs: 0, grantedMs: 0 }],
      waiting: [
        {
          owner: "install",
          needs: on("U"),
          priority: "interactive",
          requestedMs: 5,
          grantedMs: null,
          obstacles: [{ resource: "sysroot", mode: "U", heldBy: ["upgrade"], behind: [] }],
        },
        {
          owner: "cleanup",
          needs: on("X"),
          priority: "background",
          requestedMs: 5,
          grantedMs: null,
          obstacles: [{ resource: "sysroot", mode: "X", heldBy: ["upgrade"], behind: ["install"] }],
        },
      ],
      graph: [
        { from: "install", to: "upgrade", resource: "sysroot", mode: "U", reason: "held" },
        { from: "cleanup", to: "upgrade", resource: "sysroot", mode: "X", reason: "held" },
        { from: "cleanup", to: "install", resource: "sysroot", mode: "X", reason: "behind" },
      ],
      cycle: null,
      historyLength: 4,
      violations: [],
    });
  });

  it("would name those that wait in a circle, and only those", () => {
    const edges = (...pairs: string[]) => pairs.map((pair) => ({ from: pair.charAt(0), to: pair.charAt(1) }));
    expect(findCycle(edges("ab", "bc", "ad", "dc"))).toBeNull();
    expect(findCycle(edges("ab", "bc", "cd", "de", "db"))).toEqual(["b", "c", "d"]);
    expect(findCycle(edges("aa"))).toEqual(["a"]);
  });
});
