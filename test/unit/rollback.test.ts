/** What a rollback does, and how one that is taken up again knows whether it was done. */
import { expect, it } from "vitest";
import { decideRollback, isRolledBack } from "../../src/engines/ostree/deploy.ts";
import { deployment } from "../harness/memory-scheduler.ts";

const [a, b, c] = [deployment("debian", 1), deployment("debian", 2), deployment("debian", 3)];
const ids = (deployments: readonly { id: string }[]) => deployments.map(({ id }) => id);

it("drops what is staged, gives way to what is booted, else takes what is behind", () => {
  const booted = { ...a, booted: true };
  expect(decideRollback({ deployments: [{ ...b, staged: true, pending: true }, booted] })).toMatchObject({
    action: "undeploy",
    target: { id: a.id },
  });
  expect(decideRollback({ deployments: [{ ...b, pending: true }, c, booted] })).toMatchObject({ action: "setDefault", target: { id: a.id } });
  expect(decideRollback({ deployments: [booted, b, c] })).toMatchObject({ action: "setDefault", target: { id: b.id } });
  expect(() => decideRollback({ deployments: [booted] })).toThrow(expect.objectContaining({ code: "NotFound" }));
});

it("was done where another deployment is the default than before it", () => {
  const before = ids([b, a]);
  expect(isRolledBack({ deployments: [b, a] }, before)).toBe(false);
  expect(isRolledBack({ deployments: [a, b] }, before)).toBe(true);
  expect(isRolledBack({ deployments: [a] }, before)).toBe(true);
});

it("was not done by a shutdown that finalised what was staged and dropped the deployment behind", () => {
  const before = ids([{ ...c, staged: true }, { ...b, booted: true }, a]);
  const afterBoot = { deployments: [{ ...c, booted: true }, b] };
  expect(isRolledBack(afterBoot, before)).toBe(false);
  expect(decideRollback(afterBoot)).toMatchObject({ target: { id: b.id } });
});
