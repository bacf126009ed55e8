/**
 * Booted hosts for tests: each a `SandboxHost` of its own below `.sandbox/test`, deployed from the base that test/setup.ts composes once.
 * Making one and booting it takes 2 to 3 s.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type DaemonOptions, SandboxHost } from "../../src/sandbox/host.ts";
import { checkoutRoot } from "../../src/sandbox/layout.ts";

/** What a test host is made of. */
export interface TestHostOptions {
  /** Names its directory; unique among the test files. */
  readonly name: string;
  /** Another repository than the composed base, with `ref`. */
  readonly repo?: string;
  readonly ref?: string;
  /** Start the daemon too; false where it is absent. */
  readonly daemon?: boolean | DaemonOptions;
  /** Remove the base's own apt sources, so that only what the test adds is there. */
  readonly noSources?: boolean;
}

/** The repository and ref of the base that tests share. */
export function testBase(): { repo: string; ref: string } {
  const given = process.env.APT_OSTREE_TEST_BASE;
  if (given !== undefined) {
    const at = given.lastIndexOf(":");
    return { repo: given.slice(0, at), ref: given.slice(at + 1) };
  }
  const recorded = join(checkoutRoot(), ".sandbox/base.json");
  if (!existsSync(recorded)) throw new Error("there is no composed base: run the tests by `npm test`, or set APT_OSTREE_TEST_BASE=REPO:REF");
  return { repo: join(checkoutRoot(), ".sandbox/repo"), ref: (JSON.parse(readFileSync(recorded, "utf8")) as { ref: string }).ref };
}

/** Makes and boots a host. The caller removes it (`host.remove()`, or `await using`) in the end. */
export async function makeTestHost(options: TestHostOptions): Promise<SandboxHost & AsyncDisposable> {
  const host = new SandboxHost(join(checkoutRoot(), ".sandbox/test", options.name));
  const disposable = Object.assign(host, { [Symbol.asyncDispose]: () => host.remove() });
  await host.remove();
  try {
    await host.createSysroot({
      ...testBase(),
      ...(options.repo === undefined ? {} : { repo: options.repo }),
      ...(options.ref === undefined ? {} : { ref: options.ref }),
    });
    if (options.noSources === true) await host.clearSources();
    await host.boot();
    if (options.daemon !== undefined && options.daemon !== false) await host.startDaemon(options.daemon === true ? {} : options.daemon);
    return disposable;
  } catch (error) {
    await host.remove();
    throw error;
  }
}
