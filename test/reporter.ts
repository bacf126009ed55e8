/** Leaves the count of the whole run, as one line, in the file that APT_OSTREE_TEST_COUNTS names; `src/sandbox/setup.sh` prints it last. */
import { writeFileSync } from "node:fs";
import type { SerializedError } from "vitest";
import type { Reporter, TestModule } from "vitest/node";

/** A file that cannot be loaded, and an error outside any test, count as one failure each. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const path = process.env.APT_OSTREE_TEST_COUNTS;
    if (path === undefined) return;
    let passed = 0;
    let failed = unhandledErrors.length;
    for (const module of modules) {
      failed += module.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") passed += 1;
        else if (state === "failed") failed += 1;
      }
    }
    writeFileSync(path, `${passed} passed, ${failed} failed\n`);
  }
}
