# shellcheck shell=bash
# Checks that print one line each, as scripts/test counts them:
#   ok WHAT            not ok WHAT            skip WHAT: REASON
# Whatever else they print is for whoever looks into a failure. Needs lib/env.sh.

FAILED=0

ok() { echo "ok $1"; }
not_ok() {
  echo "not ok $1"
  FAILED=$((FAILED + 1))
}
skip() { echo "skip $1: $2"; }

# check WHAT COMMAND…: the command succeeds, or the check fails.
check() {
  local what=$1
  shift
  if "$@"; then ok "$what"; else not_ok "$what"; fi
}

# same WHAT BEFORE AFTER: two texts, shown where they differ.
same() {
  if [[ $2 == "$3" ]]; then ok "$1"; else
    diff <(echo "$2") <(echo "$3") || true
    not_ok "$1"
  fi
}

# checks_done: ends the script, which has failed when a check has.
checks_done() { exit $((FAILED > 0)); }

# processes_of PATH: those that run a program below it, stand in it, or have it in their arguments or environment.
# This script's own processes do not count: it is their environment that names the path.
processes_of() {
  local directory pid
  for directory in /proc/[0-9]*; do
    pid=${directory#/proc/}
    ! is_mine "$pid" || continue
    if [[ $(readlink "$directory/exe" 2>/dev/null) == "$1"/* || $(readlink "$directory/cwd" 2>/dev/null) == "$1"* ]] ||
      grep -qaF "$1" "$directory/cmdline" "$directory/environ" 2>/dev/null; then
      echo "$pid $(tr '\0' ' ' 2>/dev/null <"$directory/cmdline")"
    fi
  done
}

# is_mine PID: whether this script is the process or an ancestor of it.
is_mine() {
  local pid=$1
  while [[ $pid =~ ^[0-9]+$ && $pid -gt 1 ]]; do
    [[ $pid -ne $$ ]] || return 0
    pid=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
  done
  return 1
}

# --- what a cluster holds; KUBECONFIG names it -------------------------------------------------------------------------

# cluster_objects TEXT: those of every kind whose name or namespace has TEXT in it, as KIND NAMESPACE/NAME. Events come and
# go by themselves.
cluster_objects() {
  local kinds
  kinds=$(kubectl api-resources --verbs=list --output name | grep -Ev '^(events(\.events\.k8s\.io)?|componentstatuses|endpoints|.*\.metrics\.k8s\.io)$' | paste -sd,)
  kubectl get "$kinds" --all-namespaces --ignore-not-found --output json |
    jq -r --arg text "$1" '.items[] | "\(.kind) \(.metadata.namespace // "")/\(.metadata.name)" | select(contains($text))' | sort
}

# cluster_releases: what Helm keeps of its releases, unpacked.
cluster_releases() {
  local encoded
  kubectl get secrets --all-namespaces --field-selector type=helm.sh/release.v1 --output 'jsonpath={range .items[*]}{.data.release}{"\n"}{end}' |
    while read -r encoded; do base64 -d <<<"$encoded" | base64 -d | gunzip; echo; done
}
