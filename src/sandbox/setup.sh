#!/bin/sh
# All the set-up that `npm start`, `npm test`, `npm run bench`, `simulate`, `crash`, `fidelity` and `soak` need on a Debian machine, then the command itself.
#
#   sh src/sandbox/setup.sh start|test|bench|simulate|crash|fidelity|soak [ARGUMENT...]
#
# It looks before it does: Debian packages by dpkg's database, npm packages and the build by a stamp with the hash of what
# they were made from. It asks nothing, says what it installs before it does, and when something cannot be had prints one
# line, "apt-ostree: cannot ...", and ends with status 1 with nothing half-installed. What the tools printed is kept in
# .sandbox/log. Messages go to standard error: standard output belongs to the command.
set -eu
export LC_ALL=C.UTF-8

fail() {
  echo "apt-ostree: cannot $1" >&2
  exit 1
}

say() {
  echo "$1" >&2
}

# Machine: root, Debian, Node. Sets node_abi and node_prefix.
check_machine() {
  [ "$(id -u)" = 0 ] || fail "set up the sandbox: it makes mounts and namespaces, so run this as root"
  [ -r /etc/os-release ] || fail "set up the sandbox: this is not Debian (there is no /etc/os-release)"
  os_id=$(. /etc/os-release && echo "${ID:-unknown}")
  os_version=$(. /etc/os-release && echo "${VERSION_ID:-99}")
  [ "$os_id" = debian ] || fail "set up the sandbox: this needs Debian 12 or later, and /etc/os-release says \"$os_id\""
  [ "${os_version%%.*}" -ge 12 ] || fail "set up the sandbox: this needs Debian 12 or later, and this is Debian $os_version"
  facts=$(node -p 'const v = process.versions; [v.node.split(".")[0], v.modules, process.execPath].join(" ")' 2>/dev/null) ||
    fail "set up the sandbox: there is no working node in PATH (Node 20 or later is needed)"
  node_major=${facts%% *}
  facts=${facts#* }
  node_abi=${facts%% *}
  node_prefix=$(dirname "$(dirname "$(readlink -f "${facts#* }")")")
  [ "$node_major" -ge 20 ] || fail "set up the sandbox: Node 20 or later is needed, and this is Node $node_major"
  command -v npm >/dev/null || fail "set up the sandbox: there is no npm in PATH"
}

# One set-up at a time in a checkout; the lock ends with this shell, so nothing that is started may inherit it.
lock() {
  mkdir -p .sandbox/log
  exec 9>.sandbox/setup.lock
  if ! flock -n 9; then
    say "Waiting for another set-up in this directory ..."
    flock -w 900 9 || fail "set up the sandbox: another set-up holds .sandbox/setup.lock for more than 15 minutes"
  fi
}

unlock() {
  exec 9>&-
}

install_debian_packages() {
  wanted="ostree bubblewrap mmdebstrap dbus-daemon attr e2fsprogs python3 python3-dbus strace util-linux procps systemd openssl make g++ gpg gpg-agent gpgconf"
  # The native module needs the headers of the Node that runs: its own, else those of Debian's nodejs.
  [ -e "$node_prefix/include/node/node.h" ] || wanted="$wanted libnode-dev"
  installed=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' $wanted 2>/dev/null | sed -n 's/^ii *//p' | tr '\n' ' ')"
  missing=
  for package in $wanted; do
    case "$installed" in *" $package "*) ;; *) missing="$missing $package" ;; esac
  done
  missing=${missing# }
  [ -n "$missing" ] || return 0
  say "Installing with apt-get: $missing"
  log=.sandbox/log/apt.log
  : >"$log"
  # The lists are refreshed only where they do not lead to the packages: they are missing, or older than their archive.
  if ! try_apt; then
    apt-get update >>"$log" 2>&1 9>&- || true
    try_apt || fail "install $missing with apt-get: $(apt_reason) (all of it in $log)"
  fi
}

# Everything is fetched before anything is unpacked, so that a download that fails leaves the machine as it was.
try_apt() {
  for step in --simulate --download-only --yes; do
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=120 $step $missing \
      >>"$log" 2>&1 </dev/null 9>&- || return 1
  done
}

apt_reason() {
  reason=$(grep '^W: Failed to fetch' "$log" | tail -1)
  [ -n "$reason" ] && ! grep -q '^E: Sub-process' "$log" || reason=$(grep '^E: ' "$log" | tail -1)
  [ -n "$reason" ] || reason=$(tail -1 "$log")
  echo "$reason" | sed 's/^[EW]: *//'
}

install_npm_packages() {
  stamp=$(cat package.json package-lock.json | sha256sum | cut -c1-64)-$node_abi
  [ "$(cat node_modules/.setup-stamp 2>/dev/null)" = "$stamp" ] && return 0
  say "Installing with npm: $(sed -n '/ependencies": {/,/}/s/^ *"\([^"]*\)": "[^"]*",*$/\1/p' package.json | tr '\n' ' ')(one is compiled: about a minute)"
  headers=$node_prefix
  [ -e "$headers/include/node/node.h" ] || headers=/usr
  log=.sandbox/log/npm.log
  trap 'rm -rf node_modules; exit 130' INT TERM HUP
  rm -rf node_modules
  # Without --build-from-source the module's installer would first try for a binary from a host outside npm's configuration.
  if ! npm_config_nodedir=$headers npm_package_config_node_gyp_nodedir=$headers npm_config_build_from_source=true NODE_ENV=development \
    npm ci --no-audit --no-fund --loglevel=error --foreground-scripts=false --include=dev \
    --fetch-retries=2 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 >"$log" 2>&1 </dev/null 9>&-; then
    rm -rf node_modules
    fail "install the npm packages: $(npm_reason) (all of it in $log)"
  fi
  if ! node -e 'new (require("better-sqlite3"))(":memory:").close()' >>"$log" 2>&1; then
    rm -rf node_modules
    fail "install the npm packages: better-sqlite3 was not compiled for this Node (all of it in $log)"
  fi
  echo "$stamp" >node_modules/.setup-stamp
  trap - INT TERM HUP
}

# npm's own words, without its prefix: the line that has the reason, else the first that is more than a code.
npm_reason() {
  lines=$(sed -n 's/^npm \(error\|ERR!\) *//p' "$log" | grep -v '^\(code\|syscall\|errno\|path\|command\|A complete log\|type\|$\)' || true)
  reason=$(echo "$lines" | grep -m1 'reason: \|gyp ERR! stack Error\|404\|notarget\|ETARGET\|fatal error' || true)
  [ -n "$reason" ] || reason=$(echo "$lines" | grep -m1 . || tail -1 "$log")
  echo "$reason" | cut -c1-300
}

# A new build is made beside the old one and takes its place as a whole: a running daemon never sees half of one.
build() {
  stamp=$(find src machines test -name '*.ts' -print | LC_ALL=C sort | tr '\n' '\0' | xargs -0 cat tsconfig.json package-lock.json | sha256sum | cut -c1-64)
  [ "$(cat dist/.setup-stamp 2>/dev/null)" = "$stamp" ] && return 0
  say "Building with tsc"
  log=.sandbox/log/tsc.log
  rm -rf .sandbox/dist.new .sandbox/dist.old
  if ! node_modules/.bin/tsc -p tsconfig.json --outDir .sandbox/dist.new --noEmitOnError >"$log" 2>&1 9>&-; then
    rm -rf .sandbox/dist.new
    fail "build: $(grep -m1 'error' "$log" || tail -1 "$log") (all of it in $log)"
  fi
  echo "$stamp" >.sandbox/dist.new/.setup-stamp
  [ ! -e dist ] || mv dist .sandbox/dist.old
  mv .sandbox/dist.new dist
  rm -rf .sandbox/dist.old
}

# The last line is the count, whatever else was printed; test/reporter.ts writes it to a file.
run_tests() {
  counts=$(mktemp)
  trap 'rm -f "$counts"; exit 130' INT TERM HUP
  status=0
  APT_OSTREE_TEST_COUNTS=$counts node node_modules/vitest/vitest.mjs run --config test/vitest.config.ts "$@" || status=$?
  line=$(cat "$counts")
  rm -f "$counts"
  if [ -z "$line" ]; then
    line="0 passed, 1 failed"
    [ "$status" != 0 ] || status=1
  fi
  echo "$line"
  exit "$status"
}

cd "$(dirname "$0")/../.."
command=${1:-start}
[ $# = 0 ] || shift
case "$command" in start | test | bench | simulate | crash | fidelity | soak) ;; *) fail "run \"$command\": it is not one of start, test, bench, simulate, crash, fidelity, soak" ;; esac
check_machine
lock
install_debian_packages
install_npm_packages
build
unlock
case "$command" in
  start) exec node dist/src/sandbox/start.js "$@" ;;
  bench) exec node dist/test/bench/bench.js "$@" ;;
  simulate) exec node dist/test/simulation/main.js "$@" ;;
  crash) exec node dist/test/crash/main.js "$@" ;;
  fidelity) exec node dist/test/fidelity/main.js "$@" ;;
  soak) exec node dist/test/crash/soak.js "$@" ;;
  test) run_tests "$@" ;;
esac
