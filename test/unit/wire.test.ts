import { describe, expect, it } from "vitest";
import { parseSubmission } from "../../src/dbus/wire.ts";

const refused = (why: string) => expect.objectContaining({ code: "InvalidRequest", message: `cannot read the request: ${why}` });

describe("a submission", () => {
  it("is refused unread where it is longer than the longest request", () => {
    const request = { kind: "install", packages: Array.from({ length: 2000 }, (_, i) => `p${i}`.padEnd(256, "x")) };
    expect(parseSubmission(JSON.stringify(request))).toEqual({ agent: "", ...request });
    expect(() => parseSubmission("[".repeat(700_000))).toThrow(refused("it is longer than 640 KiB"));
  });

  it("is refused by the length of a list before what is in it is looked at", () => {
    for (const [key, max] of [
      ["packages", 2000],
      ["files", 100],
      ["targets", 100],
    ] as const) {
      const submission = (length: number, one: unknown) => JSON.stringify({ kind: "install", [key]: Array.from({ length }, () => one) });
      expect(parseSubmission(submission(max, "vim"))[key]).toHaveLength(max);
      expect(() => parseSubmission(submission(max + 1, 1)), key).toThrow(refused(`${key} is a list of more than ${max}`));
      expect(() => parseSubmission(submission(max, 1)), key).toThrow(refused(`${key} is not an array of strings`));
    }
  });
});
