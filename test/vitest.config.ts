import { join } from "node:path";
import { defineConfig } from "vitest/config";

const root = join(import.meta.dirname, "..");

/** Files run two at a time: the hosts that tests boot are bound by the disk, not by the number of processors. */
export default defineConfig({
  test: {
    root,
    include: ["test/**/*.test.ts"],
    globalSetup: [join(root, "test/setup.ts")],
    reporters: ["default", join(root, "test/reporter.ts")],
    pool: "forks",
    maxWorkers: 2,
    // None of these is what a test expects: they end what hangs, on a machine that is ten times slower and busy with other work.
    testTimeout: 240_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
