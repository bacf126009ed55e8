import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeRequest } from "../../src/model/request.ts";
import { CLEANUP_TARGETS, KINDS, type Request } from "../../src/model/transaction.ts";
import { Acquaintance } from "../../src/scheduler/acquaintance.ts";
import { meet } from "../../src/scheduler/meetings.ts";
import { plainRequest } from "../harness/requests.ts";

const PACKAGES = ["vim", "vim=1", "vim/trixie", "vim:i386", "nano", "mc"];

const request: fc.Arbitrary<Request> = fc
  .record({
    kind: fc.constantFrom(...KINDS),
    packages: fc.subarray(PACKAGES),
    targets: fc.subarray([...CLEANUP_TARGETS], { minLength: 1 }),
    digit: fc.constantFrom("1", "2"),
  })
  .map(({ kind, packages, targets, digit }) => {
    if (kind === "install" || kind === "uninstall") return makeRequest(kind, { packages: packages.length === 0 ? ["vim"] : packages });
    if (kind === "prefetch") return makeRequest(kind, { packages });
    if (kind === "cleanup") return makeRequest(kind, { targets });
    return kind === "undo" ? makeRequest(kind, { undoes: digit.repeat(12) }) : plainRequest(kind);
  });

const change = fc.record({ value: fc.nat({ max: 15 }), request: fc.option(request) });

describe("the runs that a newcomer could meet", () => {
  it("are, whatever came, changed and went before, all that do more than queue with it, in the order of arrival", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), request, (changes, newcomer) => {
        const acquaintance = new Acquaintance<number>();
        const all = new Map<number, Request>();
        for (const { value, request: next } of changes) {
          if (next === null) all.delete(value);
          else all.set(value, next);
          if (next === null) acquaintance.delete(value);
          else acquaintance.put(value, next);
        }
        const found = acquaintance.of(newcomer);
        const order = [...all.keys()];
        expect(found).toEqual(order.filter((value) => found.includes(value)));
        const meeting = order.filter((value) => meet(all.get(value) as Request, newcomer) !== "queue");
        expect(meeting.filter((value) => !found.includes(value))).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });

  it("are not those that have nothing in common with it", () => {
    const acquaintance = new Acquaintance<string>();
    for (const name of ["mc", "nano", "vim"]) acquaintance.put(name, makeRequest("prefetch", { packages: [name] }));
    acquaintance.put("all", makeRequest("prefetch"));
    acquaintance.put("refresh", makeRequest("refresh"));
    expect(acquaintance.of(makeRequest("prefetch", { packages: ["nano"] }))).toEqual(["nano", "all"]);
    expect(acquaintance.of(makeRequest("cleanup", { targets: ["base"] }))).toEqual([]);
  });
});
