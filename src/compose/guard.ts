/**
 * A guard for hosts: apt and dpkg that are asked to change a booted deployment say what to use instead. They would fail anyway, as
 * /usr is read-only there, but after a download and in words that help nobody. Where /usr can be written (in chroots, in the sandbox
 * that layers are made in, after `ostree admin unlock`) the guard lets everything through.
 */
import { APT_REFUSALS, DPKG_REFUSALS, type Refusal, refusalMessage } from "../model/dpkgguard.ts";
import { linkInTree, writeTreeFile } from "./files.ts";

const GUARD = "usr/lib/apt-ostree/guard";

/** Ships the guard: for dpkg as its hook, for apt as programs of the same name, which come first in root's PATH. */
export async function writeGuard(tree: string): Promise<void> {
  await writeTreeFile(tree, GUARD, guardScript(), 0o755);
  for (const program of ["apt", "apt-get"]) await linkInTree(tree, `usr/sbin/${program}`, `../${GUARD.slice("usr/".length)}`);
  await writeTreeFile(
    tree,
    "etc/dpkg/dpkg.cfg.d/apt-ostree",
    `# Says what to use instead on a booted OSTree deployment.\npre-invoke=exec /${GUARD}\n`,
  );
}

/** The script. It reads the words of its own command line as apt, and those of its parent as dpkg's hook. */
export function guardScript(): string {
  return `#!/bin/sh
# Refuses what would change a booted OSTree deployment by apt or dpkg, and says what to use instead.
name=\${0##*/}

let_through() {
  [ "$name" = guard ] && exit 0
  exec "/usr/bin/$name" "$@"
}

refuse() {
  echo "$name: $1" >&2
  exit 1
}

# A deployment that is booted: elsewhere, /usr can be written.
[ -e /run/ostree-booted ] && ! [ -w /usr ] || let_through "$@"

# Words that are no options, separated by blanks.
words=
add() {
  words="$words\${words:+ }$1"
}

# dpkg runs its hook with the action in the environment; what it is about is on its own command line.
if [ "$name" = guard ]; then
  name=dpkg
  option=
  set -f
  for word in $(tr '\\0' '\\n' <"/proc/$PPID/cmdline" | tail -n +2); do
    case "$word" in
      --root* | --instdir* | --admindir*) exit 0 ;;
      --status-fd) option=$word ;;
      -*) ;;
      *) [ -n "$option" ] || add "$word"; option= ;;
    esac
  done
  case "$DPKG_HOOK_ACTION" in
${cases(DPKG_REFUSALS)}
  esac
  exit 0
fi

# Another configuration may mean another system.
[ -z "\${APT_CONFIG:-}" ] || let_through "$@"
verb=
option=
for word; do
  if [ -n "$option" ]; then
    case "$word" in Dir* | RootDir*) let_through "$@" ;; esac
    option=
    continue
  fi
  case "$word" in
    --simulate | --just-print | --dry-run | --recon | --no-act | --print-uris | --download-only | --help | --version) let_through "$@" ;;
    --config-file* | -c* | -oDir* | -oRootDir* | --option=Dir* | --option=RootDir*) let_through "$@" ;;
    -o | --option | -t | --target-release | --default-release | -a | --host-architecture | -P | --build-profiles) option=$word ;;
    -o* | -t* | -a* | -P* | --*) ;;
    -*[sdhv]*) let_through "$@" ;;
    -*) ;;
    *) if [ -z "$verb" ]; then verb=$word; else add "$word"; fi ;;
  esac
done
case "$verb" in
${cases(APT_REFUSALS)}
esac
let_through "$@"
`;
}

function cases(refusals: readonly Refusal[]): string {
  return refusals
    .map((refusal) => {
      const [named, unnamed] = ["$words", ""].map((words) => `refuse "${refusalMessage(refusal, words).replaceAll("`", "\\`")}"`);
      return `    ${refusal.verbs.join(" | ")}) [ -z "$words" ] || ${named}\n      ${unnamed} ;;`;
    })
    .join("\n");
}
