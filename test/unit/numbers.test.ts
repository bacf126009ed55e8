import { describe, expect, it } from "vitest";
import { chooseNumbers, type NumberSources } from "../../src/model/numbers.ts";

type Plain = Readonly<Record<string, number>>;
const numbers = (users: Plain, groups: Plain = users) => ({ users: new Map(Object.entries(users)), groups: new Map(Object.entries(groups)) });
const none = numbers({});
const choose = (sources: Partial<NumberSources>) => {
  const {
    numbers: chosen,
    pinned,
    displaced,
  } = chooseNumbers({
    created: none,
    fixed: { users: new Set(), groups: new Set() },
    pinned: none,
    base: none,
    host: none,
    ...sources,
  });
  return { users: Object.fromEntries(chosen.users), groups: Object.fromEntries(chosen.groups), pinned: Object.fromEntries(pinned.users), displaced };
};

describe("the number of an account that a package creates", () => {
  it("is the one it got where nothing speaks against it, and is pinned with those of the base", () => {
    expect(choose({ created: numbers({ a: 100, b: 101 }), base: numbers({ root: 0, polkitd: 991 }) })).toEqual({
      users: { a: 100, b: 101 },
      groups: { a: 100, b: 101 },
      pinned: { a: 100, b: 101, polkitd: 991 },
      displaced: [],
    });
  });

  it("is the pinned one, whatever came first this time", () => {
    const { users, displaced } = choose({ created: numbers({ b: 100, a: 101 }), pinned: numbers({ a: 100, b: 101 }) });
    expect(users).toEqual({ a: 100, b: 101 });
    expect(displaced).toEqual([]);
  });

  it("is not one that is pinned for a name that is not there now", () => {
    expect(choose({ created: numbers({ b: 100 }), pinned: numbers({ a: 100 }) })).toMatchObject({
      users: { b: 101 },
      groups: { b: 101 },
      pinned: { a: 100, b: 101 },
    });
  });

  it("is what the running system says, and never that of another account there", () => {
    expect(choose({ created: numbers({ a: 100, b: 101 }), host: numbers({ a: 105, local: 101 }), pinned: numbers({ a: 100 }) })).toMatchObject({
      users: { a: 105, b: 102 },
      displaced: [],
    });
  });

  it("is free for the user and its group at once, where both got one number", () => {
    expect(choose({ created: numbers({ a: 100 }), host: numbers({}, { other: 100, third: 101 }) })).toMatchObject({
      users: { a: 102 },
      groups: { a: 102 },
    });
  });

  it("is chosen for user and group apart where they differ", () => {
    expect(choose({ created: numbers({ a: 100 }, { a: 110 }), pinned: numbers({ a: 100 }, { a: 120 }) })).toMatchObject({
      users: { a: 100 },
      groups: { a: 120 },
    });
  });

  it("stays where somebody fixed it, and displaces whoever had it", () => {
    const created = numbers({ fixed: 200, static: 42, debian: 64055, a: 100 });
    const fixed = { users: new Set(["fixed"]), groups: new Set(["fixed"]) };
    expect(choose({ created, fixed, pinned: numbers({ a: 200 }) })).toMatchObject({
      users: { fixed: 200, static: 42, debian: 64055, a: 201 },
      displaced: ["a"],
    });
  });

  it("gives way to an account of the base", () => {
    expect(choose({ created: numbers({ a: 100 }), pinned: numbers({ a: 100 }), base: numbers({ new: 100 }) })).toMatchObject({
      users: { a: 101 },
      displaced: ["a"],
    });
  });

  it("is looked for behind the wish first, then in front of it", () => {
    const host = numbers(Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`h${index}`, 990 + index])));
    expect(choose({ created: numbers({ a: 995 }), host })).toMatchObject({ users: { a: 100 } });
  });
});
