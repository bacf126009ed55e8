import { describe, expect, it } from "vitest";
import { formatDebconfAnswers, parseDebconfAnswers } from "../../src/model/debconf.ts";

describe("answers to debconf", () => {
  it("are one a line, with comments, continued lines and any amount of blanks, and come out in one form", () => {
    const text = "# who\n\n  tzdata\ttzdata/Areas   select Europe\ncups cupsys/backend multiselect lpd, \\\nsocket\nd-i x/y string \n";
    const answers = parseDebconfAnswers(text, "answers");
    expect(answers).toEqual([
      { owner: "tzdata", question: "tzdata/Areas", type: "select", value: "Europe" },
      { owner: "cups", question: "cupsys/backend", type: "multiselect", value: "lpd, socket" },
      { owner: "d-i", question: "x/y", type: "string", value: "" },
    ]);
    expect(formatDebconfAnswers(answers)).toBe("tzdata tzdata/Areas select Europe\ncups cupsys/backend multiselect lpd, socket\nd-i x/y string \n");
    expect(parseDebconfAnswers(formatDebconfAnswers(answers), "again")).toEqual(answers);
    expect(formatDebconfAnswers([])).toBe("");
  });

  it.each([
    ["one two\n", 1, "OWNER QUESTION TYPE VALUE"],
    ["# fine\ntzdata tzdata/Areas selekt Europe\n", 2, '"selekt" is not a type'],
    ["a b/c string x\\\n y\n\nTzdata x/y string z\n", 4, "OWNER QUESTION TYPE VALUE"],
    ["tzdata ../x string z", 1, '"../x" is not the name of a question'],
  ])("that are broken are refused with file and line: %j", (text, line, why) => {
    expect(() => parseDebconfAnswers(text, "answers")).toThrow(
      expect.objectContaining({ code: "ConfigInvalid", message: expect.stringContaining(why), details: { file: "answers", line } }),
    );
  });

  it("stay out of messages: they may be passwords", () => {
    expect(() => parseDebconfAnswers("mysql mysql/root passwort geheim\n", "answers")).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("geheim") }),
    );
  });
});
