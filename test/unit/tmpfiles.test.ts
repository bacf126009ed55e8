import { describe, expect, it } from "vitest";
import { formatTmpfiles, madeByTmpfiles } from "../../src/model/tmpfiles.ts";
import { DEPLOYMENT_STATE } from "../../src/model/varstate.ts";

describe("tmpfiles.d lines", () => {
  it("keep names with blanks, quotes and percent signs in one piece", () => {
    const line = formatTmpfiles({ type: "L", path: '/var/a b/50%"', mode: "-", user: "-", group: "-", argument: "../c d\\e" });
    expect(line).toBe("L /var/a\\x20b/50%%\\x22 - - - - ../c\\x20d\\x5ce");
    expect(formatTmpfiles({ type: "d", path: "/var/mail", mode: "2775", user: "root", group: "mail", argument: "-" })).toBe(
      "d /var/mail 2775 root mail - -",
    );
  });

  it("count as making a path only where they make one", () => {
    const text = "# comment\nd /var/a/ 0755 - -\nL+ /var/b - - - - x\nq! /var/c\nz /var/d 0755\nR /var/e\ne /var/f\nx /var/g\nC /var/h\n";
    expect(madeByTmpfiles(text)).toEqual(["/var/a", "/var/b", "/var/c", "/var/h"]);
  });
});

describe("the state of a deployment", () => {
  it("is a sorted list of paths below /var, none within another, so that each can be moved by itself", () => {
    expect([...DEPLOYMENT_STATE].sort()).toEqual(DEPLOYMENT_STATE);
    for (const path of DEPLOYMENT_STATE) {
      expect(path).toMatch(/^(cache|lib)\/[a-z0-9/_-]+(\.state)?$/);
      expect(DEPLOYMENT_STATE.filter((other) => other !== path && other.startsWith(`${path}/`))).toEqual([]);
    }
  });
});
