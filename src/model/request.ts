/** Requests from untrusted values: which kind takes what, and the title that people read. */
import { withoutCredentials } from "./credentials.ts";
import { AptOstreeError } from "./errors.ts";
import { isId } from "./ids.ts";
import { checkPackageSpec } from "./names.ts";
import {
  CLEANUP_TARGETS,
  canDryRun,
  KINDS,
  type Kind,
  OVERRIDE_ACTIONS,
  type OverrideAction,
  RESET_SCOPES,
  type Request,
  type ResetScope,
} from "./transaction.ts";

/** What a request is made of besides its kind; each kind takes some of them (`TAKES`). */
export interface RequestValues extends Partial<Omit<Request, "kind" | "targets" | "action" | "locals" | "undo">> {
  readonly targets?: readonly string[];
  readonly action?: string;
}

type Value = Exclude<keyof RequestValues, "idempotent">;

/** What each kind takes. All but rollback, refresh, prefetch and cleanup take `dryRun`, `plan` and `scriptNetwork` too. */
const TAKES: Readonly<Record<Kind, readonly Value[]>> = {
  install: ["packages", "files"],
  uninstall: ["packages"],
  override: ["action", "packages", "files"],
  reset: ["action"],
  reinstall: ["packages"],
  upgrade: [],
  rebase: ["refspec", "revision", "followsApt"],
  deploy: ["revision"],
  rollback: [],
  undo: ["undoes"],
  refresh: [],
  prefetch: ["packages"],
  cleanup: ["targets"],
};

/** How a value is called in "cannot rollback: it takes no packages". */
const NAME_OF: Readonly<Record<Value, string>> = {
  packages: "packages",
  files: "files",
  targets: "targets",
  action: "action",
  refspec: "refspec",
  revision: "revision",
  followsApt: "base that follows apt",
  dryRun: "dry run",
  plan: "plan",
  scriptNetwork: "network for scripts",
  undoes: "transaction to undo",
};

/** How many of each a request may name. */
export const MAX_NAMED = { packages: 2000, files: 100, targets: 100 } as const;
/** The lists of a request. */
const LISTS = Object.keys(MAX_NAMED) as (keyof typeof MAX_NAMED)[];
const MAX_FILE_LENGTH = 4096;
const ADDRESS = /^https?:\/\/[^\s/]+\/\S*$/;
/** ostree's rules for refs and names of remotes (ostree_validate_rev, ostree_parse_refspec): words of letters, digits, "_", and behind the first also "." and "-". */
const REFSPEC = /^(\w[\w.-]*:)?\w[\w.-]*(\/\w[\w.-]*)*$/;
const REVISION = /^[A-Za-z0-9][A-Za-z0-9._+~:-]{0,127}$/;
const DIGEST = /^[0-9a-f]{12,40}$/;

/** Whether a file of a request is an address rather than a path. */
export function isAddress(file: string): boolean {
  return /^https?:/.test(file);
}

/** Builds a request from untrusted values. Throws InvalidRequest. */
export function makeRequest(kind: string, values: RequestValues = {}): Request {
  if (!isOneOf(KINDS, kind)) throw new AptOstreeError("InvalidRequest", `cannot ${JSON.stringify(kind.slice(0, 40))}: no such kind of transaction`);
  const invalid = (why: string): AptOstreeError => new AptOstreeError("InvalidRequest", `cannot ${kind}: ${why}`);
  for (const name of Object.keys(NAME_OF) as Value[]) if (isGiven(values[name]) && !takes(kind, name)) throw invalid(`it takes no ${NAME_OF[name]}`);
  // Before anything is done for each one of them: nobody has looked yet whether the caller may ask at all.
  for (const list of LISTS) if ((values[list]?.length ?? 0) > MAX_NAMED[list]) throw invalid(`more than ${MAX_NAMED[list]} ${list} in one request`);
  const packages = sorted(values.packages).map(checkPackageSpec);
  const files = sorted(values.files);
  for (const file of files) checkFile(file, invalid);
  const targets = sorted(values.targets);
  for (const target of targets)
    if (!isOneOf(CLEANUP_TARGETS, target))
      throw new AptOstreeError("InvalidRequest", `cannot clean up ${quoted(target)}: it is not one of ${CLEANUP_TARGETS.join(", ")}`);
  checkNamed(kind, values, { packages, files, targets }, invalid);
  const { plan, refspec, revision, undoes } = values;
  if (refspec !== undefined && !REFSPEC.test(refspec)) throw invalid(`${quoted(refspec)} is not a refspec: REMOTE:REF or REF`);
  if (revision !== undefined && !REVISION.test(revision)) throw invalid(`${quoted(revision)} is neither a commit nor a version`);
  if (plan !== undefined && !DIGEST.test(plan)) throw invalid(`${quoted(plan)} is not the digest of a plan`);
  if (plan !== undefined && values.dryRun === true) throw invalid("a dry run carries no plan out");
  if (undoes !== undefined && !isId(undoes))
    throw new AptOstreeError("InvalidRequest", `cannot undo ${quoted(undoes)}: that is not the id of a transaction`);
  const action = values.action as OverrideAction | ResetScope | undefined;
  const given = {
    ...(files.length === 0 ? {} : { files }),
    ...(action === undefined ? {} : { action }),
    ...(refspec === undefined ? {} : { refspec }),
    ...(revision === undefined ? {} : { revision }),
    ...(values.followsApt === undefined ? {} : { followsApt: values.followsApt }),
    ...(values.dryRun === true ? { dryRun: true } : {}),
    ...(plan === undefined ? {} : { plan }),
    ...(values.scriptNetwork === true ? { scriptNetwork: true } : {}),
    ...(undoes === undefined ? {} : { undoes }),
  };
  return { kind, packages, targets: targets as Request["targets"], idempotent: values.idempotent === true, ...given };
}

/** Keys of a journalled request that this daemon obeys; what it does not know could turn into something else than what was asked for. */
const KNOWN_KEYS: ReadonlySet<string> = new Set<keyof Request>([
  ...(["kind", "packages", "targets", "idempotent", "files", "locals", "action", "refspec", "revision"] as const),
  ...(["followsApt", "dryRun", "plan", "scriptNetwork", "undoes", "undo"] as const),
]);

/** Whether this daemon knows everything that a request of the journal asks for: a newer one may have written it before a rollback. */
export function isKnown(request: Request): boolean {
  return isOneOf(KINDS, request.kind) && Object.keys(request).every((key) => KNOWN_KEYS.has(key));
}

/** A request as a command line, for people. */
export function titleOf(request: Request): string {
  const { kind, action, undoes, refspec, revision, packages, files = [], targets } = request;
  const words = [kind, action, undoes, refspec, revision, ...packages, ...files.map(titleOfFile), ...targets].filter((word) => word !== undefined);
  return `${words.join(" ")}${request.dryRun === true ? " --dry-run" : ""}`;
}

/** The request as everybody may see it: without the user names and passwords of its addresses, which only the journal and the engines have. */
export function shownRequest(request: Request): Request {
  return request.files === undefined ? request : { ...request, files: request.files.map(shownFile).sort() };
}

/** The last part of a path or an address. */
function titleOfFile(file: string): string {
  return file.replace(/[?#].*$/, "").replace(/^.*\//, "") || shownFile(file);
}

function shownFile(file: string): string {
  return isAddress(file) ? withoutCredentials(file) : file;
}

/** What must be named, and what goes with what. Throws InvalidRequest. */
function checkNamed(
  kind: Kind,
  { action, refspec, revision, followsApt, undoes }: RequestValues,
  { packages, files, targets }: { packages: readonly string[]; files: readonly string[]; targets: readonly string[] },
  invalid: (why: string) => AptOstreeError,
): void {
  const named = packages.length + files.length;
  if ((kind === "install" || kind === "uninstall") && named === 0) throw invalid("no package named");
  if (kind === "cleanup" && targets.length === 0) throw invalid("nothing named to remove");
  if (kind === "undo" && undoes === undefined) throw invalid("no transaction named");
  if (kind === "deploy" && revision === undefined) throw invalid("no revision named");
  if (kind === "rebase" && refspec === undefined && followsApt === undefined) throw invalid("no refspec named");
  if (kind === "reset" && action !== undefined && !isOneOf(RESET_SCOPES, action))
    throw invalid(`${quoted(action)} is not one of ${RESET_SCOPES.join(", ")}`);
  if (kind !== "override") return;
  if (!isOneOf(OVERRIDE_ACTIONS, action ?? "")) throw invalid(`the action is not one of ${OVERRIDE_ACTIONS.join(", ")}`);
  if (action !== "reset" && named === 0) throw invalid("no package named");
  if (action !== "replace" && files.length > 0) throw invalid(`${action} takes no files`);
}

function checkFile(file: string, invalid: (why: string) => AptOstreeError): void {
  if (file.length > MAX_FILE_LENGTH || file.includes("\0")) throw invalid("the name of a file is too long, or holds a null byte");
  if (isAddress(file) ? !ADDRESS.test(file) : !file.startsWith("/"))
    throw invalid(`${quoted(shownFile(file))} is neither an absolute path nor an http(s) address`);
}

function takes(kind: Kind, name: Value): boolean {
  return TAKES[kind].includes(name) || (canDryRun(kind) && (name === "dryRun" || name === "plan" || name === "scriptNetwork"));
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0);
}

function isOneOf<T extends string>(known: readonly T[], value: string): value is T {
  return (known as readonly string[]).includes(value);
}

function sorted(values: readonly string[] = []): string[] {
  return [...new Set(values)].sort();
}

function quoted(value: string): string {
  return JSON.stringify(value.slice(0, 80));
}
