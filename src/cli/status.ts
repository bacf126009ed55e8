/** The state of the system as text, with the labels that people know from rpm-ostree. */
import type { DaemonStatus } from "../dbus/client.ts";
import { diffPackages } from "../model/plan.ts";
import { bootedDeployment, type Deployment, type SysrootSnapshot } from "../model/sysroot.ts";
import type { TransactionView } from "../model/transaction.ts";
import { localTitle } from "../model/tree.ts";
import type { Output } from "./context.ts";
import { diffCount, diffText } from "./diff.ts";
import { bytesOf, paint, printable, timeOf } from "./format.ts";
import { classOf, etaOf, waitingOf } from "./stages.ts";

/** What is shown of the state. */
export interface StatusOptions {
  /** Every field of each deployment, and package differences one by one. */
  readonly verbose: boolean;
}

type Field = readonly [label: string, value: string];

/** Labels of deployments are right-aligned to this width, as in rpm-ostree. */
const LABEL_WIDTH = 23;

/** The text of `apt-ostree status`. */
export function statusText(status: DaemonStatus, output: Pick<Output, "colour">, options: StatusOptions): string {
  const { snapshot, transactions } = status;
  const active = transactions.length;
  const epoch = options.verbose ? `Epoch: ${snapshot.epoch}\n` : "";
  const blocks = [
    `State: ${active === 0 ? "idle" : paint(output, "yellow", "busy")}\n${transactions.map((view) => transactionText(view)).join("")}${epoch}`,
    `Deployments:\n${deploymentsText(snapshot, output, options)}`,
    snapshot.warnings.map((warning) => `${paint(output, "yellow", "warning:")} ${printable(warning)}\n`).join(""),
  ];
  return blocks.filter((block) => block !== "").join("");
}

/** "Transaction: install nginx (7f3a…)" with what it does and who asked. */
function transactionText(view: TransactionView): string {
  const { percent, text, bytesDone, bytesTotal } = view.progress;
  const parts = waitingOf(view) === "" ? [printable(text), bytesOf(bytesDone, bytesTotal), etaOf(view)] : [waitingOf(view), etaOf(view)];
  const doing = parts.filter((part) => part !== "").join(" · ");
  const warning = view.warning === "" ? "" : `    Warning: ${printable(view.warning)}\n`;
  const requestClass = classOf(view) === "" ? "" : `      Class: ${classOf(view)}\n`;
  const joined = view.joinedWith.length === 0 ? "" : ` JoinedWith: ${view.joinedWith.join(" ")}\n`;
  return (
    `Transaction: ${printable(view.title)} (${view.id})\n` +
    `   Progress: ${view.state} ${Math.floor(percent)}%${doing === "" ? "" : ` (${doing})`}\n${warning}${requestClass}` +
    `  Initiator: client(id:${printable(view.caller.agent)} dbus:${view.caller.sender} pid:${view.caller.pid} uid:${view.caller.uid})\n${joined}`
  );
}

function deploymentsText(snapshot: SysrootSnapshot, output: Pick<Output, "colour">, options: StatusOptions): string {
  if (snapshot.deployments.length === 0) return "  (none)\n";
  const booted = bootedDeployment(snapshot);
  return snapshot.deployments.map((deployment) => deploymentText(deployment, booted, output, options)).join("\n");
}

function deploymentText(deployment: Deployment, booted: Deployment | undefined, output: Pick<Output, "colour">, options: StatusOptions): string {
  const marks = (["staged", "pending", "rollback", "pinned"] as const).filter(
    (mark) => deployment[mark] && !(mark === "pending" && deployment.staged),
  );
  const name = printable(deployment.origin.refspec === "" ? `${deployment.stateroot}:${deployment.commit}` : deployment.origin.refspec);
  const title = `${deployment.booted ? "●" : " "} ${name}${marks.length === 0 ? "" : ` (${marks.join(", ")})`}`;
  const lines = fieldsOf(deployment, booted, options)
    .filter(([, value]) => value !== "")
    .map(([label, value]) => `${label.padStart(LABEL_WIDTH)}: ${value}\n`);
  const diff = options.verbose ? diffText(diffOf(deployment, booted) ?? [], " ".repeat(LABEL_WIDTH + 2)) : "";
  return `${deployment.booted ? paint(output, "bold", title) : title}\n${lines.join("")}${diff}`;
}

function fieldsOf(deployment: Deployment, booted: Deployment | undefined, { verbose }: StatusOptions): readonly Field[] {
  const { origin, layered } = deployment;
  const isLayered = origin.layerKey !== "" || origin.baseCommit !== deployment.commit;
  const inactive = new Set(origin.inactive);
  const diff = diffOf(deployment, booted);
  const rebased = booted !== undefined && !deployment.booted && booted.origin.baseCommit !== origin.baseCommit;
  return [
    ["Version", [printable(deployment.version), deployment.timestampS > 0 ? `(${timeOf(deployment.timestampS * 1000)})` : ""].join(" ").trim()],
    ["BaseCommit", isLayered ? origin.baseCommit : ""],
    ["Commit", isLayered && !verbose ? "" : deployment.commit],
    ["StateRoot", verbose ? deployment.stateroot : ""],
    ["Index", verbose ? String(deployment.index) : ""],
    ["Serial", verbose ? String(deployment.serial) : ""],
    ["Staged", verbose ? yesNo(deployment.staged) : ""],
    ["Transaction", verbose ? origin.transaction : ""],
    ["Diff", diff === null ? "" : [rebased ? "another base" : "", diffCount(diff)].filter((part) => part !== "").join(", ")],
    [
      "LayeredPackages",
      origin.requested
        .filter((spec) => !inactive.has(spec))
        .map(printable)
        .join(" "),
    ],
    [
      "LocalPackages",
      origin.requestedLocal
        .filter((local) => !inactive.has(local))
        .map(localTitle)
        .map(printable)
        .join(", "),
    ],
    ["RemovedBasePackages", origin.removed.map(printable).join(" ")],
    ["ReplacedBasePackages", [...origin.replaced, ...origin.replacedLocal.map(localTitle)].map(printable).join(", ")],
    ["BasePackages", origin.followsApt ? "follow apt" : ""],
    ["InactiveRequests", origin.inactive.map((spec) => printable(spec.replace(/@.*$/, ""))).join(" ")],
    ["LayeredSet", verbose && layered.length > 0 ? layered.map(({ name, version }) => printable(`${name}=${version}`)).join(" ") : ""],
    ["Pinned", deployment.pinned ? "yes" : ""],
  ];
}

/** Layered packages against those of the booted deployment; null where there is nothing to compare with. */
function diffOf(deployment: Deployment, booted: Deployment | undefined): ReturnType<typeof diffPackages> | null {
  return booted === undefined || deployment.booted ? null : diffPackages(booted.layered, deployment.layered);
}

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}
