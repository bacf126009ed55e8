import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { transactionMachine } from "../../machines/transaction.ts";
import { BLOCKS, mermaid, renderDocuments, renderReadme, staleDocuments } from "../../src/docs.ts";
import { ERRORS } from "../../src/model/errors.ts";
import { STAGES } from "../../src/model/transaction.ts";

const ROOT = join(import.meta.dirname, "../..");

describe("the generated documents", () => {
  it("are as the code says (npm run docs makes them so)", async () => {
    expect(await staleDocuments(ROOT)).toEqual([]);
  });

  it("are named when they are stale or missing", async () => {
    const empty = mkdtempSync(join(tmpdir(), "docs-"));
    try {
      expect(await staleDocuments(empty)).toEqual(["machines/transaction.mmd"]);
      expect([...(await renderDocuments(empty)).keys()]).toEqual(["machines/transaction.mmd"]);
    } finally {
      rmSync(empty, { recursive: true });
    }
  });
});

describe("README.md", () => {
  it("keeps what people wrote and gets every block made anew, however often", () => {
    const text = Object.keys(BLOCKS)
      .map((name) => `About ${name}.\n<!-- generated:${name} -->\nSTALE\n<!-- /generated:${name} -->\n`)
      .join("\n");
    const once = renderReadme(text);
    expect(once).not.toContain("STALE");
    for (const name of Object.keys(BLOCKS)) expect(once).toContain(`About ${name}.\n<!-- generated:${name} -->\n`);
    expect(renderReadme(once)).toBe(once);
  });

  it("needs no block, but each it has must have an end and a maker", () => {
    expect(renderReadme("# apt-ostree\n")).toBe("# apt-ostree\n");
    expect(() => renderReadme("<!-- generated:errors -->\n")).toThrow("without an end: errors");
    expect(() => renderReadme("<!-- generated:toString -->\n<!-- /generated:toString -->\n")).toThrow("nobody makes: toString");
  });

  it("lists every error, every stage with its locks and every command", () => {
    for (const code of Object.keys(ERRORS)) expect(BLOCKS.errors?.()).toContain(`\`${code}\``);
    for (const stage of STAGES) expect(BLOCKS.stages?.()).toMatch(new RegExp(`^\\| ${stage} \\| \\w+ [PFUDX]`, "m"));
    expect(BLOCKS.config?.()).toContain("`downloadConcurrency`");
    for (const command of ["install", "status", "compose tree"]) expect(BLOCKS.cli?.()).toContain(`### \`apt-ostree ${command}\``);
  });
});

describe("the diagram of a machine", () => {
  const text = mermaid(transactionMachine);

  it("shows every state", () => {
    for (const name of Object.keys(transactionMachine.states)) expect(text).toMatch(new RegExp(`^  ${name}: ${name}`, "m"));
    expect(text).toContain("deploying_waiting --> deploying_committing: STAGE_BEGAN");
  });

  it("has only lines that Mermaid can read: no text with another colon or a semicolon", () => {
    for (const line of text.trimEnd().split("\n").slice(1))
      expect(line).toMatch(/^ +(\w+: [^:;]+|state \w+ \{|\}|(\[\*\]|\w+) --> (\[\*\]|\w+)(: [^:;]+)?)$/);
  });

  it("is the one in the directory of the machines", () => {
    expect(readFileSync(join(ROOT, "machines/transaction.mmd"), "utf8")).toBe(text);
  });
});
