import { expect, it } from "vitest";
import type { Plan } from "../../src/model/plan.ts";
import { makeRequest } from "../../src/model/request.ts";
import type { Request } from "../../src/model/transaction.ts";
import type { RunRow } from "../../src/scheduler/ports.ts";
import { redoneFor } from "../../src/scheduler/reshaping.ts";

const LOCAL = `tool:all=1@${"a".repeat(64)}`;
const VIM = makeRequest("install", { packages: ["vim"] });
const WITH_FILE: Request = { ...makeRequest("install", { packages: ["vim"], files: ["/tool.deb"] }), locals: [LOCAL] };
const WITH_ADDRESS = makeRequest("install", { packages: ["vim"], files: ["https://host/tool.deb"] });

/** A run that downloads what it planned for a request. */
function downloading(request: Request): RunRow {
  return { request, facts: { plan: { changed: true } as Plan }, timings: [] as RunRow["timings"] } as RunRow;
}

it("a plan serves a request that names the same, and no other: packages, files and addresses", () => {
  expect(redoneFor(downloading(VIM), VIM, "downloading")).toBeNull();
  for (const [before, now] of [
    [WITH_FILE, VIM],
    [VIM, WITH_FILE],
    [WITH_ADDRESS, VIM],
    [VIM, WITH_ADDRESS],
  ] as const)
    expect(redoneFor(downloading(before), now, "downloading"), JSON.stringify([before, now])).toBe("replan");
});
