/** What happens in a round of the campaign: a value that only the seed and the round's number decide. */
import type { CleanupTarget, Kind } from "../../src/model/transaction.ts";
import { Random } from "../harness/random.ts";
import { NAMES } from "./packages.ts";

/** What a client asks for. */
export interface Wish {
  readonly kind: Kind;
  readonly packages: readonly string[];
  readonly targets: readonly CleanupTarget[];
}

/** One thing that a client does. */
export interface Action {
  /** Since the client's last action, milliseconds. */
  readonly afterMs: number;
  /** A request, or the share (0 to 1) of the transactions accepted so far before the one to cancel. */
  readonly does: Wish | { readonly cancels: number };
}

/** What is struck: the daemon (kill -9, or asked to end), one of its children, both at once, or the next daemon too while it recovers. */
export const STRIKES = ["kill", "terminate", "child", "both", "again"] as const;

/** A strike at a moment. */
export interface Strike {
  readonly kind: (typeof STRIKES)[number];
  /** Since the clients began, milliseconds. */
  readonly afterMs: number;
  /** The share (0 to 1) of the children before the one to kill. */
  readonly child: number;
  /** Since the next daemon was started, milliseconds. */
  readonly againAfterMs: number;
}

/** A round: what is published, who asks for what, and the strike. */
export interface RoundPlan {
  /** Shut down and boot what is the default first. */
  readonly reboots: boolean;
  /** Packages that get a new version. */
  readonly newVersions: readonly string[];
  readonly newBase: boolean;
  /** Whether the daemon has heard of the new versions before the clients begin. */
  readonly refreshed: boolean;
  readonly clients: readonly (readonly Action[])[];
  readonly strike: Strike;
}

const MAX_CLIENTS = 4;
const MAX_ACTIONS = 4;
const MAX_PAUSE_MS = 1500;
/** About what the actions of a round take. */
const SPAN_MS = 4500;
const RECOVERY_MS = 1500;

/** The plan of a round. */
export function planRound(seed: number, round: number): RoundPlan {
  const random = new Random(seed, round);
  const published = random.weighted({ nothing: 4, versions: 4, base: 1, both: 1 });
  const clients = Array.from({ length: random.whole(1, MAX_CLIENTS) }, () =>
    Array.from({ length: random.whole(1, MAX_ACTIONS) }, () => planAction(random)),
  );
  return {
    reboots: random.chance(0.15),
    newVersions: published === "versions" || published === "both" ? random.some(NAMES, random.whole(1, NAMES.length)) : [],
    newBase: published === "base" || published === "both",
    refreshed: random.chance(0.5),
    clients,
    strike: {
      kind: random.pick(STRIKES),
      afterMs: random.whole(0, SPAN_MS),
      child: random.share(),
      againAfterMs: random.whole(0, RECOVERY_MS),
    },
  };
}

/** What one client does next, in the campaign and in the soak. */
export function planAction(random: Random): Action {
  const kind = random.weighted({ install: 8, uninstall: 3, upgrade: 3, rollback: 2, refresh: 2, prefetch: 2, cleanup: 2, cancel: 3 });
  const afterMs = random.whole(0, MAX_PAUSE_MS);
  if (kind === "cancel") return { afterMs, does: { cancels: random.share() } };
  const takesPackages = kind === "install" || kind === "uninstall" || (kind === "prefetch" && random.chance(0.7));
  const packages = takesPackages ? random.some(NAMES, random.whole(1, 2)) : [];
  const targets = kind === "cleanup" ? random.some(["base", "pending", "rollback"] as const, random.whole(1, 2)) : [];
  return { afterMs, does: { kind, packages, targets } };
}

/** A wish as a command line. */
export function wordsOf({ kind, packages, targets }: Wish): string {
  return [kind, ...packages, ...targets.map((target) => `--${target}`)].join(" ");
}

/** The plan in lines for people, from which the round can be repeated by hand. */
export function describeRound(plan: RoundPlan): string[] {
  const { strike } = plan;
  const before = [
    ...(plan.reboots ? ["reboot"] : []),
    ...(plan.newBase ? ["a new base"] : []),
    ...(plan.newVersions.length > 0 ? [`new versions of ${plan.newVersions.join(" ")}${plan.refreshed ? ", refreshed" : ""}`] : []),
  ];
  return [
    ...(before.length > 0 ? [`before: ${before.join("; ")}`] : []),
    ...plan.clients.map((actions, index) => `client ${index + 1}: ${actions.map(describeAction).join(", ")}`),
    `strike: ${strike.kind} after ${strike.afterMs} ms${strike.kind === "again" ? `, again ${strike.againAfterMs} ms into the recovery` : ""}`,
  ];
}

function describeAction({ afterMs, does }: Action): string {
  return `+${afterMs} ms ${"cancels" in does ? `cancel (${does.cancels.toFixed(2)})` : wordsOf(does)}`;
}
