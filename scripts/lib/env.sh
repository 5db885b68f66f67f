# shellcheck shell=bash
# Sourced by every script: where things are, which versions are pinned, and how a script speaks.
# Standard output is for answers that other programs read (a path, an address); everything said to a person goes to
# standard error. A script that fails ends with one line that says what is wrong and one that says what to do.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=$(realpath -m "${HARNESS_DELEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/harness-delegate}")
export ROOT CACHE

# Tools that setup fetched or built come last, so that whatever the user has on the PATH wins; the system directories
# are there because an unprivileged login has no iptables otherwise.
PATH=$PATH:/usr/sbin:/sbin:$CACHE/bin
export PATH

export KUBERNETES_VERSION=1.34.4
export HELM3_VERSION=3.17.2
export HELM4_VERSION=4.1.4
export OPENTOFU_VERSION=1.12.6
export CARGO_DENY_VERSION=0.20.2

say() { printf '%s\n' "$*" >&2; }

# die MESSAGE [REMEDY]
die() {
  say "error: $1"
  [[ $# -lt 2 ]] || say "       $2"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# usage FILE: prints the comment at the head of a script, which is its --help.
usage() { sed -n '2,/^[^#]/{/^#/!q;s/^# \{0,1\}//p}' "$1"; }

# root_possible: ends the script where it could not become root later, before it begins what takes long.
root_possible() { [[ $(id -u) -eq 0 ]] || have sudo || die "scripts/$(basename "$0") needs root, and there is no sudo" "run it as root"; }

# root_or_sudo SCRIPT ARGUMENT…: goes on as root, with the settings that the scripts read; returns when it is root.
root_or_sudo() {
  root_possible
  [[ $(id -u) -ne 0 ]] || return 0
  exec sudo env "PATH=$PATH" "HARNESS_DELEGATE_CACHE=$CACHE" "HARNESS_DELEGATE_STATE=${HARNESS_DELEGATE_STATE:-}" "DOCKER_HOST=${DOCKER_HOST:-}" "$@"
}

# locked FILE: holds the lock for the rest of the script, on descriptor 9.
locked() {
  exec 9>"$1"
  flock -n 9 || { say "waiting for another $(basename "$0") …"; flock 9; }
}

# as_root COMMAND…: runs it as root, by sudo where needed.
as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "'$*' needs root, and there is no sudo" "run it as root, then run this script again"
  fi
}
