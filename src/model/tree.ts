/** What a deployment is made from, as a value: the base it stands on and what people asked for on top of it. */
/**
 * What a deployment is made from: everything else follows from it, the package lists and the policy. Lists are sorted. A *local
 * package* is a `.deb` that was given as a file or an address and is kept by its content: "NAME:ARCH=VERSION@SHA256".
 */
export interface TreeState {
  /** Where the base comes from: "REMOTE:REF" or a local "REF"; empty where it follows nothing. */
  readonly refspec: string;
  /** Commit of the base. */
  readonly baseCommit: string;
  /** The base's own packages are brought to apt's newest versions with each change, for a base that nobody publishes anew. */
  readonly followsApt: boolean;
  /** Packages a person asked for, as they named them. */
  readonly requested: readonly string[];
  /** Local packages a person asked for. */
  readonly requestedLocal: readonly string[];
  /** Names of packages of the base that are taken out of the tree. */
  readonly removed: readonly string[];
  /** Packages of the base that are replaced by others of their name, as a person named those. */
  readonly replaced: readonly string[];
  /** Local packages that replace ones of the base. */
  readonly replacedLocal: readonly string[];
}

/** A base that nobody asked anything of. */
export const BARE_TREE: TreeState = {
  refspec: "",
  baseCommit: "",
  followsApt: false,
  requested: [],
  requestedLocal: [],
  removed: [],
  replaced: [],
  replacedLocal: [],
};

/** The lists of a tree's state. */
export const TREE_LISTS = ["requested", "requestedLocal", "removed", "replaced", "replacedLocal"] as const;
export type TreeList = (typeof TREE_LISTS)[number];

/** Only what a tree is made from, of a value that may hold more; what an older daemon did not write is taken as nothing. */
export function treeStateOf(value: Partial<TreeState>): TreeState {
  const { refspec, baseCommit, followsApt, requested, requestedLocal, removed, replaced, replacedLocal } = { ...BARE_TREE, ...value };
  return { refspec, baseCommit, followsApt, requested, requestedLocal, removed, replaced, replacedLocal };
}

/** Whether the tree is its base and nothing else, whatever apt has. */
export function isBare(tree: TreeState): boolean {
  return !tree.followsApt && TREE_LISTS.every((list) => tree[list].length === 0);
}

/** "vim:amd64" of "vim:amd64=2:9.1": what two requests for the same package share. */
export function withoutPin(spec: string): string {
  return spec.replace(/[=/@].*$/, "");
}

/** The content hash of a local package, 64 hex digits. */
export function hashOfLocal(local: string): string {
  return local.slice(local.indexOf("@") + 1);
}

/** A local package without its hash, for people: "NAME VERSION". */
export function localTitle(local: string): string {
  const [, name = local, version = ""] = /^([^:]+):[^=]*=([^@]*)@/.exec(local) ?? [];
  return `${name} ${version}`.trim();
}
