import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CONFIG_KEYS, parseConfig, readConfig } from "../../src/config.ts";

const FILE = "/etc/apt-ostree/daemon.yaml";
const KEYS = Object.entries(CONFIG_KEYS);

function refused(...parts: string[]) {
  return expect.objectContaining({ code: "ConfigInvalid", message: expect.stringMatching(parts.join(".*")) });
}

describe("the configuration", () => {
  it("needs no file, and an empty one says as much", async () => {
    const defaults = parseConfig("", FILE);
    expect(defaults).toMatchObject({ logLevel: "info", downloadConcurrency: CONFIG_KEYS.downloadConcurrency.fallback });
    expect(parseConfig("# nothing\n", FILE)).toEqual(defaults);
    expect(parseConfig("{}", FILE)).toEqual(defaults);
  });

  it("is in seconds outside and in milliseconds inside", () => {
    expect(parseConfig("stallTimeoutSeconds: 7\nrefreshTimeoutSeconds: 8\ninstallTimeoutSeconds: 9\n", FILE)).toMatchObject({
      stallTimeoutMs: 7000,
      refreshTimeoutMs: 8000,
      installTimeoutMs: 9000,
    });
  });

  it("takes every key at its limits and refuses it beyond, naming file and key", () => {
    for (const [key, { min, max }] of KEYS) {
      for (const value of [min, max]) expect(() => parseConfig(`${key}: ${value}`, FILE)).not.toThrow();
      for (const value of [min - 1, max + 1, "1.5", ".nan", ".inf", "many", '"6"', "[1]", "true"])
        expect(() => parseConfig(`${key}: ${value}`, FILE), `${key}: ${value}`).toThrow(refused(FILE, key, `${min} to ${max}`));
    }
  });

  it("refuses a key it does not know, naming it", () => {
    for (const key of ["downloadconcurrency", "stallTimeoutMs", "loglevel", "1", "constructor", "toString", "__proto__"])
      expect(() => parseConfig(`${key}: 1`, FILE), key).toThrow(refused(FILE, key));
  });

  it("refuses a log level that pino does not have", () => {
    expect(parseConfig("logLevel: debug", FILE).logLevel).toBe("debug");
    for (const level of ["verbose", "1", "[]", '""']) expect(() => parseConfig(`logLevel: ${level}`, FILE)).toThrow(refused(FILE, "logLevel"));
  });

  it("refuses what is no mapping or no YAML, naming the file in one line", () => {
    for (const text of ["- a\n- b\n", "words", "7", "a: [", "a: b: c", "\t- x", "downloadConcurrency: 1\ndownloadConcurrency: 2\n"]) {
      expect(() => parseConfig(text, FILE), text).toThrow(refused(FILE));
      expect(() => parseConfig(text, FILE), text).toThrow(expect.objectContaining({ message: expect.not.stringContaining("\n") }));
    }
  });

  it("must be there where it is named, and readable", async () => {
    const directory = mkdtempSync(join(tmpdir(), "config-"));
    try {
      const path = join(directory, "daemon.yaml");
      await expect(readConfig(path)).rejects.toThrow(refused(path, "ENOENT"));
      await expect(readConfig(directory)).rejects.toThrow(refused(directory, "EISDIR"));
      writeFileSync(path, "keepLayers: 2\n");
      expect((await readConfig(path)).keepLayers).toBe(2);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
