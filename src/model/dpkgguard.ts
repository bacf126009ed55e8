/** What apt and dpkg say on a system that is an OSTree deployment, where they can change nothing: what to do instead. */

/** A group of verbs that are refused alike. */
export interface Refusal {
  /** Verbs of apt and apt-get (apt-get(8)), or actions of dpkg (dpkg(1)). */
  readonly verbs: readonly string[];
  /** "install": what cannot be done to the packages that are named, or to nothing. */
  readonly doing: string;
  /** A command, to which the packages are added; or what happens by itself. */
  readonly instead: { readonly command: string; readonly takesPackages: boolean } | { readonly fact: string };
}

const UPGRADE = { command: "apt-ostree upgrade", takesPackages: false };
const INSTALL = { command: "apt-ostree install", takesPackages: true };
const UNINSTALL = { command: "apt-ostree uninstall", takesPackages: true };

/** The verbs of apt and apt-get that change the system; all others are let through. */
export const APT_REFUSALS: readonly Refusal[] = [
  { verbs: ["install"], doing: "install", instead: INSTALL },
  { verbs: ["reinstall"], doing: "reinstall", instead: { command: "apt-ostree reinstall", takesPackages: true } },
  { verbs: ["remove", "purge"], doing: "remove", instead: UNINSTALL },
  { verbs: ["upgrade", "full-upgrade", "dist-upgrade", "dselect-upgrade"], doing: "upgrade", instead: UPGRADE },
  { verbs: ["autoremove", "autopurge"], doing: "remove what nothing needs", instead: { fact: "apt-ostree does so with every change" } },
  {
    verbs: ["build-dep", "satisfy"],
    doing: "install what is needed for",
    instead: { fact: "install the packages by name with `apt-ostree install`" },
  },
];

/** The actions of dpkg that its hooks are run for (dpkg(1), `--pre-invoke`), but for those on architectures. */
export const DPKG_REFUSALS: readonly Refusal[] = [
  { verbs: ["install", "unpack"], doing: "install", instead: INSTALL },
  { verbs: ["remove", "purge"], doing: "remove", instead: UNINSTALL },
  { verbs: ["configure", "triggers-only"], doing: "configure", instead: { fact: "packages are configured when the tree is made" } },
  {
    verbs: ["add-architecture", "remove-architecture"],
    doing: "change architecture",
    instead: { fact: "`apt-ostree install NAME:ARCH` adds one" },
  },
];

/** The whole message; `packages` are words separated by blanks, and may be empty. */
export function refusalMessage({ doing, instead }: Refusal, packages: string): string {
  const remedy =
    "fact" in instead ? instead.fact : `use \`${[instead.command, ...(instead.takesPackages && packages !== "" ? [packages] : [])].join(" ")}\``;
  return `cannot ${[doing, ...(packages === "" ? [] : [packages])].join(" ")}: this system is an OSTree deployment: ${remedy}`;
}
