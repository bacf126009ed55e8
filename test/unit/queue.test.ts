import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { REQUEST_CLASSES, type RequestClass } from "../../src/model/transaction.ts";
import { FairQueue, type QueueEntry } from "../../src/scheduler/queue.ts";

const AGE_MS = 600_000;
const PROPERTY = { seed: Number(process.env.SEED ?? Date.now() % 2 ** 31), numRuns: 300, verbose: 1 };

type Entry = QueueEntry<null>;

function fairQueue() {
  const clock = { ms: 0 };
  const queue = new FairQueue<null>({ now: () => clock.ms, ageMs: AGE_MS });
  const add = (id: string, uid: number, requestClass: RequestClass = "interactive", options: { front?: boolean } = {}): void =>
    queue.add({ id, uid, requestClass, arrivedMs: clock.ms, value: null }, options);
  const take = (count: number): string[] => Array.from({ length: count }, () => queue.next()?.id ?? "");
  const order = (): string[] => queue.order().map(({ id }) => id);
  return { queue, clock, add, take, order };
}

describe("the queue in front of the locks", () => {
  it("serves persons before programs and programs before timers", () => {
    const { add, take } = fairQueue();
    add("prefetch", 0, "timer");
    add("check", 1000, "gui");
    add("install", 1000);
    expect(take(4)).toEqual(["install", "check", "prefetch", ""]);
  });

  it("lets users take turns, whoever asks how often", () => {
    const { add, take } = fairQueue();
    for (const id of ["a1", "a2", "a3"]) add(id, 1);
    for (const id of ["b1", "b2"]) add(id, 2);
    add("c1", 3);
    expect(take(6)).toEqual(["a1", "b1", "c1", "a2", "b2", "a3"]);
  });

  it("gives a user who asked for nothing no more turns than the others", () => {
    const { add, take } = fairQueue();
    for (const id of ["a1", "a2", "a3", "a4", "a5", "a6"]) add(id, 1);
    expect(take(3)).toEqual(["a1", "a2", "a3"]);
    for (const id of ["b1", "b2", "b3"]) add(id, 2);
    expect(take(6)).toEqual(["b1", "a4", "b2", "a5", "b3", "a6"]);
  });

  it("gives nothing to a user who leaves the queue and comes back for each entry", () => {
    const { add, take } = fairQueue();
    for (const id of ["b1", "b2", "b3"]) add(id, 2);
    const taken: string[] = [];
    for (const id of ["a1", "a2", "a3"]) {
      add(id, 1);
      taken.push(...take(2));
    }
    expect(taken).toEqual(["b1", "a1", "b2", "a2", "b3", "a3"]);
  });

  it("counts only what was started: entries that were removed cost their user nothing", () => {
    const { queue, add, take } = fairQueue();
    for (const id of ["a1", "a2", "a3"]) add(id, 1);
    for (const id of ["b1", "b2"]) add(id, 2);
    expect([queue.remove("a1"), queue.remove("a2"), queue.remove("a2"), queue.size]).toEqual([true, true, false, 3]);
    expect(take(3)).toEqual(["a3", "b1", "b2"]);
  });

  it("serves what has waited too long before everything else, oldest first", () => {
    const { clock, add, take, order } = fairQueue();
    add("prefetch", 0, "timer");
    clock.ms = 1;
    add("check", 1000, "gui");
    clock.ms = AGE_MS;
    add("install", 1000);
    expect(order()).toEqual(["prefetch", "install", "check"]);
    clock.ms = AGE_MS + 1;
    expect(take(3)).toEqual(["prefetch", "check", "install"]);
  });

  it("passes over what is blocked, which goes on ageing and keeps its place", () => {
    const { queue, clock, add, take, order } = fairQueue();
    for (const id of ["a1", "a2", "a3"]) add(id, 1);
    expect([queue.block("a1"), queue.block("a1"), queue.block("nothing")]).toEqual([true, false, false]);
    expect(order()).toEqual(["a2", "a3", "a1"]);
    expect(queue.size).toBe(3);
    expect(take(1)).toEqual(["a2"]);
    clock.ms = AGE_MS;
    add("b1", 2);
    expect(queue.unblock("a1")).toBe(true);
    expect(take(4)).toEqual(["a1", "a3", "b1", ""]);
    add("c1", 3);
    queue.block("c1");
    expect([queue.next(), queue.size]).toEqual([undefined, 1]);
  });

  it("serves what was interrupted first in its class, without using its user's turn", () => {
    const { clock, add, take } = fairQueue();
    for (const id of ["a1", "a2"]) add(id, 1);
    clock.ms = 1;
    add("b1", 2);
    add("resumed2", 1, "interactive", { front: true });
    add("prefetch", 0, "timer", { front: true });
    expect(take(5)).toEqual(["resumed2", "a1", "b1", "a2", "prefetch"]);
  });

  it("raises an entry in place when somebody more urgent comes to want it, and never lowers one", () => {
    const { queue, clock, add, order } = fairQueue();
    add("prefetch", 1, "timer");
    clock.ms = 1;
    add("install", 1);
    expect([queue.promote("prefetch", "interactive"), queue.promote("install", "gui"), queue.promote("nothing", "gui")]).toEqual([
      true,
      false,
      false,
    ]);
    expect(order()).toEqual(["prefetch", "install"]);
    expect(queue.next()?.requestClass).toBe("interactive");
  });

  it("refuses an id that waits already", () => {
    const { add } = fairQueue();
    add("a1", 1);
    expect(() => add("a1", 2, "timer")).toThrow("a1 is queued twice");
  });
});

/** The same rules without any structure: everything is sorted each time. */
class NaiveQueue {
  items: { entry: Entry; seq: number; front: boolean; blocked: boolean }[] = [];
  /** The virtual time of each class, and of each uid in it: the start of the last one served, and the end of its own last one. */
  virtual = { interactive: 0, gui: 0, timer: 0 };
  ends = new Map<string, number>();
  added = 0;
  readonly clock: { ms: number };

  constructor(clock: { ms: number }) {
    this.clock = clock;
  }

  add(entry: Entry, front: boolean): void {
    this.items.push({ entry, seq: this.added++, front, blocked: false });
  }

  remove(id: string): void {
    this.items = this.items.filter((item) => item.entry.id !== id);
  }

  promote(id: string, requestClass: RequestClass): void {
    for (const item of this.items)
      if (item.entry.id === id && rank(requestClass) < rank(item.entry.requestClass)) item.entry = { ...item.entry, requestClass };
  }

  block(id: string, blocked: boolean): void {
    for (const item of this.items) if (item.entry.id === id) item.blocked = blocked;
  }

  next(): string | undefined {
    const best = this.#best();
    if (best === undefined) return undefined;
    const { requestClass, uid, id } = best.entry;
    if (!best.front) {
      if (!this.#aged(best.entry)) this.virtual[requestClass] = this.#start(best.entry);
      this.ends.set(`${requestClass} ${uid}`, this.virtual[requestClass] + 1);
    }
    this.remove(id);
    return id;
  }

  order(): string[] {
    return [false, true].flatMap((blocked) => {
      const copy = new NaiveQueue(this.clock);
      copy.items = this.items.filter((item) => item.blocked === blocked).map((item) => ({ ...item, blocked: false }));
      copy.virtual = { ...this.virtual };
      copy.ends = new Map(this.ends);
      return copy.items.map(() => copy.next() ?? "");
    });
  }

  #best() {
    const key = ({ entry, seq, front }: (typeof this.items)[number]): number[] => {
      if (this.#aged(entry)) return [0, 0, 0, 0, entry.arrivedMs, seq];
      return [1, rank(entry.requestClass), front ? 0 : 1, front ? 0 : this.#start(entry), entry.arrivedMs, seq];
    };
    const differences = (a: number[], b: number[]): number[] => a.map((part, index) => part - (b[index] ?? 0));
    return this.items.filter((item) => !item.blocked).sort((a, b) => differences(key(a), key(b)).find((difference) => difference !== 0) ?? 0)[0];
  }

  #start({ requestClass, uid }: Entry): number {
    return Math.max(this.virtual[requestClass], this.ends.get(`${requestClass} ${uid}`) ?? 0);
  }

  #aged({ arrivedMs }: Entry): boolean {
    return this.clock.ms - arrivedMs >= AGE_MS;
  }
}

function rank(requestClass: RequestClass): number {
  return REQUEST_CLASSES.indexOf(requestClass);
}

describe("whatever happens", () => {
  const uid = fc.nat({ max: 4 });
  const requestClass = fc.constantFrom(...REQUEST_CLASSES);
  const pick = fc.nat({ max: 1000 });
  const step = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant("add" as const),
        uid,
        requestClass,
        front: fc.boolean(),
        agoMs: fc.oneof(fc.constant(0), fc.nat(AGE_MS)),
      }),
    },
    { weight: 8, arbitrary: fc.record({ do: fc.constant("next" as const) }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constantFrom("remove" as const, "block" as const, "unblock" as const), pick }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("promote" as const), pick, requestClass }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat(AGE_MS / 2) }) },
  );

  it("it serves in the order of a queue that sorts everything each time", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: "max" }), (script) => {
        const { queue, clock, order } = fairQueue();
        const naive = new NaiveQueue(clock);
        let added = 0;
        for (const each of script) {
          const picked = "pick" in each ? (naive.items[each.pick % Math.max(1, naive.items.length)]?.entry.id ?? "nothing") : "";
          if (each.do === "add") {
            const entry = { id: `run${added++}`, uid: each.uid, requestClass: each.requestClass, arrivedMs: clock.ms - each.agoMs, value: null };
            queue.add(entry, { front: each.front });
            naive.add(entry, each.front);
          } else if (each.do === "next") expect(queue.next()?.id).toBe(naive.next());
          else if (each.do === "promote") {
            queue.promote(picked, each.requestClass);
            naive.promote(picked, each.requestClass);
          } else if (each.do === "wait") clock.ms += each.ms;
          else {
            queue[each.do](picked);
            if (each.do === "remove") naive.remove(picked);
            else naive.block(picked, each.do === "block");
          }
          expect(queue.size).toBe(naive.items.length);
          expect(order()).toEqual(naive.order());
        }
      }),
      PROPERTY,
    );
  });

  it("one who floods the queue gets a third beside two others, however theirs arrive", () => {
    const bursts = fc.array(fc.record({ uid: fc.integer({ min: 1, max: 2 }), count: fc.integer({ min: 1, max: 4 }) }), {
      minLength: 200,
      maxLength: 300,
    });
    fc.assert(
      fc.property(bursts, (script) => {
        const { queue, add } = fairQueue();
        for (let index = 0; index < 10_000; index++) add(`flood${index}`, 0);
        const waiting = [10_000, 0, 0];
        for (const [turn, burst] of script.entries()) {
          const counts = [1, 2].map((each) => (burst.uid === each ? burst.count : Number(waiting[each] === 0)));
          for (const [index, count] of counts.entries()) {
            for (let part = 0; part < count; part++) add(`run${turn}.${part} of ${index + 1}`, index + 1);
            waiting[index + 1] = (waiting[index + 1] ?? 0) + count;
          }
          const { uid } = queue.next() as Entry;
          waiting[uid] = (waiting[uid] ?? 0) - 1;
        }
        const left = [0, 0, 0];
        for (const { uid } of queue.order()) left[uid] = (left[uid] ?? 0) + 1;
        expect(left).toEqual(waiting);
        const served = 10_000 - (waiting[0] ?? 0);
        expect(Math.abs(served - script.length / 3)).toBeLessThanOrEqual(0.1 * (script.length / 3));
      }),
      { ...PROPERTY, numRuns: 20 },
    );
  });

  it("nobody waits longer than until it has aged and those that came before it are done", () => {
    const workMs = 30_000;
    const arrivals = fc.array(fc.record({ uid, requestClass, gapMs: fc.nat(workMs) }), { minLength: 20, maxLength: 200, size: "max" });
    fc.assert(
      fc.property(arrivals, (script) => {
        const { queue, clock } = fairQueue();
        let atMs = 0;
        const coming = script.map((each, index) => {
          atMs += each.gapMs;
          return { id: `run${index}`, uid: each.uid, requestClass: each.requestClass, arrivedMs: atMs, value: index };
        });
        const left = new Set(coming.keys());
        for (let arrived = 0; left.size > 0; clock.ms += workMs) {
          for (let entry = coming[arrived]; entry !== undefined && entry.arrivedMs <= clock.ms; entry = coming[++arrived])
            queue.add({ ...entry, value: null });
          const id = queue.next()?.id;
          const index = coming.findIndex((entry) => entry.id === id);
          if (index < 0) continue;
          left.delete(index);
          const waitedMs = clock.ms - (coming[index]?.arrivedMs ?? 0);
          // One that had begun when it aged, and all that came before it.
          expect(waitedMs).toBeLessThanOrEqual(AGE_MS + (index + 1) * workMs);
          if (waitedMs >= AGE_MS) expect([...left].filter((other) => other < index)).toEqual([]);
        }
      }),
      { ...PROPERTY, numRuns: 100 },
    );
  });
});
