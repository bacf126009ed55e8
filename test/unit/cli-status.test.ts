import { describe, expect, it } from "vitest";
import { statusText } from "../../src/cli/status.ts";
import type { DaemonStatus } from "../../src/dbus/client.ts";
import type { Deployment } from "../../src/model/sysroot.ts";
import type { TransactionView } from "../../src/model/transaction.ts";
import { BARE_TREE } from "../../src/model/tree.ts";
import { transactionView } from "../harness/views.ts";

const BASE = "b".repeat(64);
const LAYERED = "a".repeat(64);
const PLAIN = { colour: false };

function deployment(values: Partial<Omit<Deployment, "origin">> & { origin?: Partial<Deployment["origin"]> } = {}): Deployment {
  const { origin, ...others } = values;
  return {
    id: `debian-${BASE}.0`,
    index: 0,
    stateroot: "debian",
    commit: BASE,
    serial: 0,
    version: "13.20260701",
    timestampS: 1_782_864_000,
    booted: false,
    staged: false,
    pending: false,
    rollback: false,
    pinned: false,
    layered: [],
    ...others,
    origin: { ...BARE_TREE, refspec: "debian:debian/trixie", inactive: [], baseCommit: BASE, layerKey: "", transaction: "", ...origin },
  } as Deployment;
}

function status(
  deployments: readonly Deployment[],
  values: { transactions?: readonly TransactionView[]; warnings?: readonly string[] } = {},
): DaemonStatus {
  return {
    version: "0.1.0",
    staleMs: 0,
    snapshot: { epoch: 3, readMs: 0, sysroot: "/", booted: true, deployments, warnings: values.warnings ?? [] },
    transactions: values.transactions ?? [],
  } as DaemonStatus;
}

const installed = (...names: string[]) => names.map((name) => ({ name, architecture: "amd64", version: "1" }));
const staged = deployment({
  id: `debian-${LAYERED}.0`,
  commit: LAYERED,
  staged: true,
  pending: true,
  origin: { requested: ["bash", "nginx"], inactive: ["bash"], layerKey: "k", transaction: "7f3a5c9d1e20" },
  layered: installed("nginx", "nginx-common"),
});
const booted = deployment({ index: 1, booted: true });
const old = deployment({ index: 2, serial: 1, rollback: true, pinned: true, version: "13.20260601", timestampS: 1_780_272_000 });

describe("the status text", () => {
  it("shows a staged, the booted and a pinned rollback deployment with the labels of rpm-ostree", () => {
    expect(statusText(status([staged, booted, old]), PLAIN, { verbose: false })).toBe(
      `State: idle
Deployments:
  debian:debian/trixie (staged)
                Version: 13.20260701 (2026-07-01T00:00:00Z)
             BaseCommit: ${BASE}
                   Diff: 2 added
        LayeredPackages: nginx
       InactiveRequests: bash

● debian:debian/trixie
                Version: 13.20260701 (2026-07-01T00:00:00Z)
                 Commit: ${BASE}

  debian:debian/trixie (rollback, pinned)
                Version: 13.20260601 (2026-06-01T00:00:00Z)
                 Commit: ${BASE}
                 Pinned: yes
`,
    );
  });

  it("shows commits, packages and differences one by one where everything is wanted", () => {
    const text = statusText(status([staged, booted]), PLAIN, { verbose: true });
    expect(text).toContain("State: idle\nEpoch: 3\nDeployments:\n");
    expect(text).toContain(`                 Commit: ${LAYERED}\n`);
    expect(text).toContain("              StateRoot: debian\n");
    expect(text).toContain("                 Staged: yes\n");
    expect(text).toContain("            Transaction: 7f3a5c9d1e20\n");
    expect(text).toContain("             LayeredSet: nginx=1 nginx-common=1\n");
    expect(text).toContain("Added:\n                           nginx 1\n                           nginx-common 1\n");
  });

  it("says that a deployment has another base", () => {
    const next = deployment({ pending: true, commit: LAYERED, origin: { baseCommit: LAYERED } });
    expect(statusText(status([next, booted]), PLAIN, { verbose: false })).toContain("                   Diff: another base\n");
  });

  it("shows active transactions with progress, who asked and what they wait for", () => {
    const base = transactionView({
      state: "downloading",
      progress: { percent: 43.2, text: "nginx", bytesDone: 12_300_000, bytesTotal: 20_100_000 },
      joinedWith: ["0123456789ab"],
    });
    const waiting: TransactionView = {
      ...base,
      id: "8f3a5c9d1e20",
      title: "upgrade",
      state: "queued",
      position: 1,
      waitingFor: "packages is held by install nginx",
      joinedWith: [],
      requestClass: "timer",
      eta: { p50Ms: 40_000, p90Ms: 120_000 },
      warning: "assembling makes no progress for 2 min",
      progress: { percent: 0, text: "", bytesDone: 0, bytesTotal: 0 },
    };
    expect(statusText(status([booted], { transactions: [base, waiting] }), PLAIN, { verbose: false })).toContain(
      `State: busy
Transaction: install nginx (7f3a5c9d1e20)
   Progress: downloading 43% (nginx · 12.3/20.1 MB)
  Initiator: client(id:cli dbus::1.7 pid:42 uid:0)
 JoinedWith: 0123456789ab
Transaction: upgrade (8f3a5c9d1e20)
   Progress: queued 0% (waiting (1st): packages is held by install nginx · about 40 s left, at most 2 min)
    Warning: assembling makes no progress for 2 min
      Class: timer
  Initiator: client(id:cli dbus::1.7 pid:42 uid:0)
Deployments:
`,
    );
  });

  it("ends with the warnings, and says where there is no deployment", () => {
    expect(statusText(status([], { warnings: ["the journal was damaged\u001b[2J"] }), PLAIN, { verbose: false })).toBe(
      "State: idle\nDeployments:\n  (none)\nwarning: the journal was damaged\n",
    );
  });

  it("is coloured only where that is welcome", () => {
    expect(statusText(status([booted]), { colour: true }, { verbose: false })).toContain("\u001b[1m● debian:debian/trixie\u001b[22m\n");
    expect(statusText(status([booted]), PLAIN, { verbose: false })).not.toContain("\u001b");
  });
});
