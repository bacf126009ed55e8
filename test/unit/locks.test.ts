import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AptOstreeError } from "../../src/model/errors.ts";
import { LOCK_MODES, type LockMode, type Need, RESOURCES, type Resource } from "../../src/scheduler/lock-table.ts";
import { type Lease, LockManager, type LockPriority, Locks, type Ticket } from "../../src/scheduler/locks.ts";

const AGE_MS = 30_000;
/** The design's table, written down a second time: each mode with those it runs beside. */
const TABLE: Record<LockMode, string> = { P: "PFUD", F: "PFUD", U: "PF", D: "PF", X: "" };
const PROPERTY = { seed: Number(process.env.SEED ?? Date.now() % 2 ** 31), numRuns: 300, verbose: 1 };

const on = (mode: LockMode, resource: Resource = "sysroot"): Need[] => [{ resource, mode }];
const beside = (a: LockMode, b: LockMode): boolean => TABLE[a].includes(b);

function manager(): { locks: LockManager; clock: { ms: number }; ask: (owner: string, needs: Need[], priority?: LockPriority) => Ticket } {
  const clock = { ms: 0 };
  const locks = new LockManager({ now: () => clock.ms, ageMs: AGE_MS });
  return { locks, clock, ask: (owner, needs, priority = "interactive") => locks.request(owner, needs, { priority }) };
}

describe("the table", () => {
  for (const held of LOCK_MODES) {
    for (const wanted of LOCK_MODES) {
      const shared = beside(held, wanted);
      it(`${shared ? "grants" : "keeps back"} ${wanted} beside ${held}, whichever comes first`, () => {
        const { locks, ask } = manager();
        const first = ask("first", on(held));
        const second = ask("second", on(wanted));
        expect(first.state).toBe("granted");
        expect(second.state).toBe(shared ? "granted" : "waiting");
        locks.release(first);
        expect(second.state).toBe("granted");
      });
    }
  }

  it("keeps different resources apart", () => {
    const { ask } = manager();
    for (const [index, resource] of RESOURCES.entries()) expect(ask(`run${index}`, on("X", resource)).state).toBe("granted");
  });

  it("lets whoever runs beside the assembler run beside its deployment", () => {
    for (const mode of LOCK_MODES) if (beside("U", mode)) expect(beside("D", mode)).toBe(true);
  });
});

describe("the queue", () => {
  it("holds new fetchers and assemblers back behind a waiting pruner, but no planner", () => {
    const { locks, ask } = manager();
    const fetcher = ask("fetcher", on("F"));
    const pruner = ask("pruner", on("X"));
    const later = ask("later", on("F"));
    const assembler = ask("assembler", on("U"));
    const planner = ask("planner", on("P"));
    expect([pruner.state, later.state, assembler.state, planner.state]).toEqual(["waiting", "waiting", "waiting", "granted"]);
    locks.release(fetcher);
    expect(pruner.state).toBe("waiting");
    locks.release(planner);
    expect(pruner.state).toBe("granted");
    locks.release(pruner);
    expect([later.state, assembler.state]).toEqual(["granted", "granted"]);
  });

  it("holds planners back too once the pruner has waited too long", () => {
    const { locks, clock, ask } = manager();
    const first = ask("first", on("P"));
    const pruner = ask("pruner", on("X"));
    clock.ms += AGE_MS - 1;
    const second = ask("second", on("P"));
    expect(second.state).toBe("granted");
    clock.ms += 1;
    const third = ask("third", on("P"));
    expect(third.state).toBe("waiting");
    locks.release(first);
    locks.release(second);
    expect([pruner.state, third.state]).toEqual(["granted", "waiting"]);
  });

  it("holds only assemblers back behind a waiting deployment", () => {
    const { ask } = manager();
    ask("assembler", on("U"));
    const deployer = ask("deployer", on("D"));
    expect(deployer.state).toBe("waiting");
    expect(ask("another", on("U")).state).toBe("waiting");
    expect(ask("fetcher", on("F")).state).toBe("granted");
    expect(ask("planner", on("P")).state).toBe("granted");
  });

  it("grants compatible neighbours together", () => {
    const granted: string[][] = [];
    let batch: string[] = [];
    const locks = new LockManager({ now: () => 0, onGrant: (ticket) => batch.push(ticket.owner), onChange: () => granted.push(batch.splice(0)) });
    const pruner = locks.request("pruner", on("X"), { priority: "interactive" });
    for (const [owner, mode] of [
      ["a", "F"],
      ["b", "P"],
      ["c", "U"],
      ["d", "F"],
    ] as const)
      locks.request(owner, on(mode), { priority: "interactive" });
    batch = [];
    locks.release(pruner);
    expect(granted.at(-1)).toEqual(["a", "b", "c", "d"]);
  });

  it("takes all of several resources or none", () => {
    const { locks, ask } = manager();
    const holder = ask("holder", on("D", "sysroot"));
    const both = ask("both", [...on("D", "sysroot"), ...on("U", "repo")]);
    expect(both.state).toBe("waiting");
    expect(both.needs.map((need) => need.resource)).toEqual(["repo", "sysroot"]);
    expect(ask("fetcher", on("F", "repo")).state).toBe("granted");
    const overtaker = ask("overtaker", on("U", "repo"));
    expect(overtaker.state).toBe("waiting");
    locks.release(holder);
    expect([both.state, overtaker.state]).toEqual(["granted", "waiting"]);
  });

  it("serves a person's request before a background one that came first", () => {
    const { locks, ask } = manager();
    const holder = ask("holder", on("U"));
    const timer = ask("timer", on("U"), "background");
    const person = ask("person", on("U"));
    expect(locks.queue().map((ticket) => ticket.owner)).toEqual(["person", "timer"]);
    locks.release(holder);
    expect([person.state, timer.state]).toEqual(["granted", "waiting"]);
  });

  it("serves a background request in its turn once it has aged", () => {
    const { locks, clock, ask } = manager();
    const holder = ask("holder", on("U"));
    const timer = ask("timer", on("U"), "background");
    const person = ask("person", on("U"));
    clock.ms += AGE_MS;
    locks.release(holder);
    expect([timer.state, person.state]).toEqual(["granted", "waiting"]);
  });

  it("moves a background request up in place when a person comes to want it", () => {
    const { locks, ask } = manager();
    ask("holder", on("U"));
    const timer = ask("timer", on("U"), "background");
    ask("person", on("U"));
    locks.prioritise(timer, "interactive");
    expect(locks.queue().map((ticket) => ticket.owner)).toEqual(["timer", "person"]);
  });

  it("wakes those behind a request that is taken out", () => {
    const { locks, ask } = manager();
    ask("fetcher", on("F"));
    const pruner = ask("pruner", on("X"));
    const assembler = ask("assembler", on("U"));
    expect(assembler.state).toBe("waiting");
    expect(locks.cancel(pruner)).toBe(true);
    expect(assembler.state).toBe("granted");
    expect(locks.cancel(pruner)).toBe(false);
    expect(locks.cancel(assembler)).toBe(false);
  });

  it("says what a request waits for", () => {
    const { locks, ask } = manager();
    ask("upgrade", on("U"));
    const pruner = ask("pruner", [...on("X", "repo"), ...on("X")]);
    const install = ask("install", on("U"));
    expect(locks.waitsFor(pruner)).toEqual([{ resource: "sysroot", mode: "X", heldBy: ["upgrade"], behind: [] }]);
    expect(locks.waitsFor(install)).toEqual([{ resource: "sysroot", mode: "U", heldBy: ["upgrade"], behind: ["pruner"] }]);
    expect(locks.waitsFor(ask("planner", on("P")))).toEqual([]);
  });
});

describe("holding", () => {
  it("upgrades the assembler at once beside planners and fetchers, even with a pruner waiting", () => {
    const { locks, ask } = manager();
    const assembler = ask("assembler", [...on("U", "repo"), ...on("U")]);
    ask("planner", on("P"));
    ask("fetcher", on("F"));
    ask("pruner", on("X"));
    locks.upgrade(assembler, "sysroot", "D");
    expect(assembler.needs).toEqual([
      { resource: "repo", mode: "U" },
      { resource: "sysroot", mode: "D" },
    ]);
  });

  it("upgrades nobody else", () => {
    const { locks, ask } = manager();
    const fetcher = ask("fetcher", on("F"));
    const assembler = ask("assembler", on("U"));
    const waiting = ask("waiting", on("U"));
    for (const ticket of [fetcher, waiting]) expect(() => locks.upgrade(ticket, "sysroot", "D")).toThrow("without holding it for update");
    locks.release(assembler);
    expect(() => locks.upgrade(assembler, "sysroot", "D")).toThrow("without holding it for update");
  });

  it("releases once, even when a later ticket of the same owner holds locks", () => {
    const { locks, ask } = manager();
    const first = ask("run", on("U"));
    expect(locks.release(first)).toBe(true);
    const second = ask("run", on("U"));
    expect(locks.release(first)).toBe(false);
    expect(second.state).toBe("granted");
    expect(locks.holders()).toEqual([second]);
  });

  it("refuses an owner that asks for more while it holds or waits", () => {
    const { ask } = manager();
    ask("run", on("P"));
    expect(() => ask("run", on("F", "repo"))).toThrow("asks for locks while it has or awaits others");
    expect(() => ask("other", [...on("F"), ...on("U")])).toThrow("named twice");
  });
});

describe("whatever happens", () => {
  type Step =
    | { do: "request"; modes: (LockMode | null)[]; priority: LockPriority }
    | { do: "release" | "cancel" | "upgrade" | "promote"; pick: number }
    | { do: "wait"; ms: number };
  const pick = fc.nat({ max: 1000 });
  const needs = fc.array(fc.option(fc.constantFrom(...LOCK_MODES), { freq: 2 }), { minLength: 4, maxLength: 4 });
  const request = fc.record({
    do: fc.constant("request" as const),
    modes: needs,
    priority: fc.constantFrom("interactive" as const, "background" as const),
  });
  const steps: fc.Arbitrary<Step[]> = fc.array(
    fc.oneof(
      { weight: 5, arbitrary: request },
      {
        weight: 5,
        arbitrary: fc.record({ do: fc.constantFrom("release" as const, "cancel" as const, "upgrade" as const, "promote" as const), pick }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat({ max: 20_000 }) }) },
    ),
    { maxLength: 60, size: "max" },
  );
  const toNeeds = (modes: (LockMode | null)[]): Need[] =>
    RESOURCES.flatMap((resource, index) => {
      const mode = modes[index];
      return mode === null || mode === undefined ? [] : [{ resource, mode }];
    });
  const clash = (a: Ticket, b: Ticket, excludes: (a: LockMode, b: LockMode) => boolean): boolean =>
    a.needs.some((x) => b.needs.some((y) => x.resource === y.resource && excludes(x.mode, y.mode)));

  it("nobody shares what excludes, nothing grantable waits, nobody is overtaken by what delays them, and all are served once", () => {
    fc.assert(
      fc.property(steps, (script) => {
        const clock = { ms: 0 };
        const grants = new Map<Ticket, number>();
        const locks: LockManager = new LockManager({
          now: () => clock.ms,
          ageMs: AGE_MS,
          onGrant: (ticket) => grants.set(ticket, (grants.get(ticket) ?? 0) + 1),
        });
        const all: Ticket[] = [];
        const inFront = (waiting: Ticket, other: Ticket): boolean =>
          clash(waiting, other, (a, b) => !beside(a, b) && !(a === "X" && b === "P" && clock.ms - waiting.requestedMs < AGE_MS));
        const check = (): void => {
          const holders = locks.holders();
          for (const [index, a] of holders.entries())
            for (const b of holders.slice(index + 1)) expect(clash(a, b, (x, y) => !beside(x, y))).toBe(false);
          const queue = locks.queue();
          for (const [index, waiting] of queue.entries()) {
            const held = holders.some((holder) => clash(holder, waiting, (x, y) => !beside(x, y)));
            expect(held || queue.slice(0, index).some((earlier) => inFront(earlier, waiting))).toBe(true);
            expect(locks.waitsFor(waiting).length).toBeGreaterThan(0);
          }
          const first = queue[0];
          if (first !== undefined) for (const obstacle of locks.waitsFor(first)) expect(obstacle.behind).toEqual([]);
          const persons = queue.filter((ticket) => ticket.priority === "interactive");
          expect(persons).toEqual(all.filter((ticket) => persons.includes(ticket)));
        };
        for (const step of script) {
          const waiting = locks.queue();
          const holders = locks.holders();
          if (step.do === "request") all.push(locks.request(`run${all.length}`, toNeeds(step.modes), { priority: step.priority }));
          else if (step.do === "wait") {
            clock.ms += step.ms;
            locks.settle();
          } else if (step.do === "release" && holders.length > 0) locks.release(holders[step.pick % holders.length] as Ticket);
          else if (step.do === "cancel" && waiting.length > 0) locks.cancel(waiting[step.pick % waiting.length] as Ticket);
          else if (step.do === "promote" && waiting.length > 0) locks.prioritise(waiting[step.pick % waiting.length] as Ticket, "interactive");
          else if (step.do === "upgrade") {
            const assembler = holders.find((holder) => holder.needs.some((need) => need.mode === "U"));
            const need = assembler?.needs.find(({ mode }) => mode === "U");
            if (assembler !== undefined && need !== undefined) locks.upgrade(assembler, need.resource, "D");
          }
          for (const newcomer of locks.holders()) {
            if (holders.includes(newcomer)) continue;
            const overtaken = locks.queue().filter((ticket) => ticket.priority === "interactive" && all.indexOf(ticket) < all.indexOf(newcomer));
            for (const ticket of overtaken) expect(inFront(ticket, newcomer)).toBe(false);
          }
          check();
        }
        while (locks.holders().length > 0) {
          locks.release(locks.holders()[0] as Ticket);
          check();
        }
        expect(locks.queue()).toEqual([]);
        for (const ticket of all) {
          expect(["released", "cancelled"]).toContain(ticket.state);
          expect(grants.get(ticket) ?? 0).toBe(ticket.state === "released" ? 1 : 0);
        }
      }),
      PROPERTY,
    );
  });

  it("nobody waits longer than the ageing limit and the time of those who came before", () => {
    const HOLD_MS = 10_000;
    const arrivals = fc.array(
      fc.record({
        modes: needs,
        priority: fc.constantFrom("interactive" as const, "background" as const),
        gapMs: fc.nat({ max: 4000 }),
        holdMs: fc.nat({ max: HOLD_MS }),
      }),
      { minLength: 5, maxLength: 80, size: "max" },
    );
    fc.assert(
      fc.property(arrivals, (script) => {
        const clock = { ms: 0 };
        const ends: { atMs: number; ticket: Ticket }[] = [];
        const holdOf = new Map<string, number>();
        const locks: LockManager = new LockManager({
          now: () => clock.ms,
          ageMs: AGE_MS,
          onGrant: (ticket) => {
            ends.push({ atMs: clock.ms + (holdOf.get(ticket.owner) ?? 0), ticket });
            ends.sort((a, b) => a.atMs - b.atMs);
          },
        });
        const tickets: Ticket[] = [];
        const runUntil = (ms: number): void => {
          for (let next = ends[0]; next !== undefined && next.atMs <= ms; next = ends[0]) {
            ends.shift();
            clock.ms = next.atMs;
            locks.release(next.ticket);
          }
          clock.ms = ms;
        };
        let atMs = 0;
        for (const [index, { modes, priority, gapMs, holdMs }] of script.entries()) {
          atMs += gapMs;
          runUntil(atMs);
          holdOf.set(`run${index}`, holdMs);
          tickets.push(locks.request(`run${index}`, toNeeds(modes), { priority }));
        }
        runUntil(Number.MAX_SAFE_INTEGER);
        for (const [index, ticket] of tickets.entries()) {
          expect(ticket.state).toBe("released");
          expect((ticket.grantedMs ?? Number.NaN) - ticket.requestedMs).toBeLessThanOrEqual(AGE_MS + (index + 1) * HOLD_MS);
        }
      }),
      PROPERTY,
    );
  });
});

describe("leases", () => {
  const make = (): { locks: Locks; clock: { ms: number } } => {
    const clock = { ms: 0 };
    return { locks: new Locks({ now: () => clock.ms }), clock };
  };
  const as = (owner: string): { owner: string; priority: LockPriority } => ({ owner, priority: "interactive" });

  it("resolve in turn and tell how long they waited", async () => {
    const { locks, clock } = make();
    const first = await locks.acquire(on("U"), as("first"));
    const second = locks.acquire(on("U"), as("second"));
    clock.ms = 250;
    await first.upgrade("sysroot");
    expect(first.needs).toEqual(on("D"));
    first.release();
    first.release();
    const lease = await second;
    expect([first.waitedMs, lease.waitedMs]).toEqual([0, 250]);
    first.release();
    expect(locks.manager.holders().map((ticket) => ticket.owner)).toEqual(["second"]);
    await expect(first.upgrade("sysroot")).rejects.toMatchObject({ code: "Internal" });
  });

  it("can be given up while waiting, which wakes those behind", async () => {
    const { locks } = make();
    const fetcher = await locks.acquire(on("F"), as("fetcher"));
    const abort = new AbortController();
    const pruner = locks.acquire(on("X"), { ...as("pruner"), signal: abort.signal });
    const assembler = locks.acquire(on("U"), as("assembler"));
    abort.abort();
    await expect(pruner).rejects.toMatchObject({ code: "Cancelled" });
    expect((await assembler).needs).toEqual(on("U"));
    await expect(locks.acquire(on("P"), { ...as("late"), signal: abort.signal })).rejects.toMatchObject({ code: "Cancelled" });
    expect(locks.manager.find("late")).toBeNull();
    fetcher.release();
  });

  it("can be given up at the very moment at which the wait begins", async () => {
    const abort = new AbortController();
    const locks = new Locks({ now: () => 0, onChange: () => locks.manager.queue().length > 0 && abort.abort() });
    const holder = await locks.acquire(on("U"), as("holder"));
    await expect(locks.acquire(on("U"), { ...as("next"), signal: abort.signal })).rejects.toMatchObject({ code: "Cancelled" });
    holder.release();
    expect(locks.manager.holders()).toEqual([]);
  });

  it("stay held when the signal fires after the grant", async () => {
    const { locks } = make();
    const abort = new AbortController();
    const holder = await locks.acquire(on("U"), as("holder"));
    const waiting = locks.acquire(on("U"), { ...as("next"), signal: abort.signal });
    holder.release();
    abort.abort();
    const lease = await waiting;
    expect(locks.manager.holders().map((ticket) => ticket.owner)).toEqual(["next"]);
    lease.release();
    expect(locks.manager.holders()).toEqual([]);
  });

  it("are refused at once, naming the holder, to who does not want to wait", async () => {
    const { locks } = make();
    const lease = await locks.acquire(on("U"), as("upgrade 7f3a"));
    const refused = locks.acquire(on("U"), { ...as("install"), noWait: true });
    await expect(refused).rejects.toThrow(AptOstreeError);
    await expect(refused).rejects.toMatchObject({
      code: "Busy",
      message: "cannot lock sysroot: held or awaited by upgrade 7f3a",
      details: { holders: ["upgrade 7f3a"], resources: ["sysroot"] },
    });
    expect(locks.manager.queue()).toEqual([]);
    lease.release();
  });

  it("never overlap where they exclude each other, whatever order the work ends in", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.constantFrom(...LOCK_MODES), { minLength: 2, maxLength: 12, size: "max" }),
        async (scheduler, modes) => {
          const { locks } = make();
          const inside = new Set<Lease>();
          let served = 0;
          const work = modes.map(async (mode, index) => {
            const lease = await locks.acquire(on(mode), as(`run${index}`));
            for (const other of inside) expect(beside(other.needs[0]?.mode as LockMode, mode)).toBe(true);
            inside.add(lease);
            await scheduler.schedule(Promise.resolve(), `run${index} works`);
            inside.delete(lease);
            lease.release();
            served += 1;
          });
          await scheduler.waitFor(Promise.all(work));
          expect(served).toBe(modes.length);
          expect(locks.manager.holders()).toEqual([]);
        },
      ),
      PROPERTY,
    );
  });
});
