# shellcheck shell=bash
# Sourced by every script: where things are, which versions are pinned, and how a script speaks.
# Standard output is for answers that other programs read (a path, an address); everything said to a person goes to
# standard error. A script that fails ends with one line that says what is wrong and one that says what to do.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${HARNESS_DELEGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/harness-delegate}
export ROOT CACHE

# Tools that setup fetched or built come last, so that whatever the user has on the PATH wins; the system directories
# are there because an unprivileged login has no iptables otherwise.
PATH=$PATH:/usr/sbin:/sbin:$CACHE/bin
export PATH

export KUBERNETES_VERSION=1.34.4
export HELM3_VERSION=3.17.2
export HELM4_VERSION=4.1.4
export KUBECTL_VERSION=1.32.3

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
