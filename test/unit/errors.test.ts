import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { AptOstreeError, ERROR_PREFIX, ERRORS, type ErrorCode, fromErrorValue, isErrorCode, toErrorValue } from "../../src/model/errors.ts";

const CODES = Object.keys(ERRORS) as ErrorCode[];

describe("the table of errors", () => {
  it("gives each a name the bus accepts, an exit status that scripts know, and one sentence", () => {
    for (const code of CODES) {
      const name = `${ERROR_PREFIX}${code}`;
      expect(name).toMatch(/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$/);
      expect(name.length).toBeLessThanOrEqual(255);
      expect([1, 2], code).toContain(ERRORS[code].exitStatus);
      expect(ERRORS[code].meaning, code).toMatch(/^[A-Za-z][^\n]*\.$/);
    }
  });

  it("goes by the prefix that the API file documents", () => {
    const api = readFileSync(new URL("../../systemd/org.debian.aptostree1.xml", import.meta.url), "utf8");
    expect(api).toContain(`${ERROR_PREFIX}CODE`);
  });

  it("knows its codes and nothing that every object has", () => {
    for (const code of CODES) expect(isErrorCode(code)).toBe(true);
    for (const other of ["", "constructor", "toString", "__proto__", "busy"]) expect(isErrorCode(other)).toBe(false);
  });
});

describe("an error", () => {
  it("survives the way through JSON", () => {
    const error = new AptOstreeError("Busy", "cannot lock sysroot: held by upgrade 7f3a", { details: { holders: ["7f3a"] } });
    const back = fromErrorValue(JSON.parse(JSON.stringify(error.toValue())));
    expect(back).toBeInstanceOf(AptOstreeError);
    expect(back.toValue()).toEqual(error.toValue());
    expect(fromErrorValue({ code: "NotFound", message: "cannot find it" }).details).toEqual({});
  });

  it("that is a full disk says so wherever it comes from", () => {
    for (const code of ["ENOSPC", "EDQUOT", "SQLITE_FULL"]) {
      const value = toErrorValue(Object.assign(new Error("write failed"), { code }));
      expect(value).toEqual({ code: "NoSpace", message: "cannot write: write failed" });
    }
  });

  it("that nobody foresaw is internal, whatever was thrown", () => {
    for (const thrown of [new TypeError("x is undefined"), "x is undefined"])
      expect(toErrorValue(thrown)).toEqual({ code: "Internal", message: "internal error: x is undefined" });
    expect(toErrorValue(null).code).toBe("Internal");
    expect(toErrorValue(undefined).code).toBe("Internal");
  });
});
