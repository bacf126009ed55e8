/** What no command line of ours may be without, or have: a planning apt that could install would install on the host. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { INSTALL_CONFIG, PLAN_CONFIG, REFRESH_CONFIG } from "../../src/engines/apt/config.ts";

const ROOT = join(import.meta.dirname, "../..");

it("whatever only plans or refreshes has a dpkg that does nothing", () => {
  for (const config of [PLAN_CONFIG, REFRESH_CONFIG]) expect(config).toContainEqual(["Dir::Bin::dpkg", "/bin/false"]);
  expect(INSTALL_CONFIG).not.toContainEqual(["Dir::Bin::dpkg", "/bin/false"]);
});

it("no program of apt is told to be so quiet that it takes yes for an answer, or given a root that it does not know", () => {
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter((name) => /\.(ts|sh)$/.test(name));
  expect(sources.length).toBeGreaterThan(100);
  for (const name of sources) expect(readFileSync(join(ROOT, "src", name), "utf8"), name).not.toMatch(/["' ]-qq["' ]|apt-get[^\n]*--root=/);
});
