/** Before any test: the base that test hosts deploy is composed, once in a checkout (about a minute), then only looked at. */
import { join } from "node:path";
import { ensureBase } from "../src/sandbox/base.ts";
import { SandboxHost } from "../src/sandbox/host.ts";
import { checkoutRoot } from "../src/sandbox/layout.ts";

/** Called by vitest. */
export async function setup(): Promise<void> {
  if (process.env.APT_OSTREE_TEST_BASE !== undefined) return;
  const host = new SandboxHost(join(checkoutRoot(), ".sandbox"));
  await host.locked(async () => {
    const base = await ensureBase(host.layout, (line) => console.error(`compose: ${line}`));
    console.error(
      `Base ${base.ref} ${base.commit.slice(0, 12)}: ${base.cached ? "already composed" : `composed in ${Math.round(base.tookMs / 1000)} s`}`,
    );
  });
}
