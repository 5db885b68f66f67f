# shellcheck shell=bash
# Bridges of our own and the packet-filter rules they need. Needs lib/env.sh.
# Every rule carries a comment by which it is found again, so that nothing of anyone else is touched.
# A bridge carries its owner, a path, as its alias.

bridge_owner() { ip -o link show dev "$1" 2>/dev/null | sed -n 's/.* alias //p' | sed 's/\\.*//;s/ *$//'; }

# bridge_up NAME ADDRESS/LENGTH OWNER: makes the bridge, or takes the one of this owner.
bridge_up() {
  local taken
  if ! ip link show "$1" >/dev/null 2>&1; then
    taken=$(ip -4 -o addr show to "$2" | awk '{ print $2 }' | head -n 1)
    [[ -z $taken ]] || die "the network $2 is in use on interface $taken" "free it, then run this script again"
    ip link add "$1" type bridge
    # Its address, once set, stays when ports come and go, and pods keep finding their gateway.
    ip link set "$1" address "$(cat "/sys/class/net/$1/address")" alias "$3"
  fi
  bridge_is "$1" "$3" || die "the network interface $1 belongs to $(bridge_owner "$1" | grep . || echo "another program")" "remove that first (ip addr show $1), then run this script again"
  ip addr replace "$2" dev "$1"
  ip link set "$1" up
}

# bridge_is NAME OWNER: true also when there is no such bridge.
bridge_is() { ! ip link show "$1" >/dev/null 2>&1 || [[ $(bridge_owner "$1") == "$2" ]]; }

# bridge_down NAME
bridge_down() { ! ip link show "$1" >/dev/null 2>&1 || ip link delete "$1"; }

# rules_up COMMENT NETWORK: lets the network's packets through whatever the forward policy is, and hides its addresses
# from the outside.
rules_up() {
  add_rule filter FORWARD -s "$2" -m comment --comment "$1" -j ACCEPT
  add_rule filter FORWARD -d "$2" -m comment --comment "$1" -j ACCEPT
  add_rule nat POSTROUTING -s "$2" ! -d "$2" -m comment --comment "$1" -j MASQUERADE
  sysctl -qw net.ipv4.ip_forward=1
  # Services answer only when packets between two pods of the bridge pass the filter too.
  [[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ]] || sysctl -qw net.bridge.bridge-nf-call-iptables=1
}

add_rule() {
  local table=$1 chain=$2
  shift 2
  iptables -w -t "$table" -C "$chain" "$@" 2>/dev/null || iptables -w -t "$table" -I "$chain" 1 "$@"
}

# rules_down COMMENT [CHAIN_PREFIX]: removes the rules with this comment; and all chains whose name begins with the
# prefix, with the jumps to them.
rules_down() {
  local program
  for program in iptables ip6tables; do
    "$program-save" 2>/dev/null | awk -v comment="$1" -v prefix="${2:-}" '
      /^\*/ { table = $0; rules = flush = chains = "" }
      prefix != "" && index($0, ":" prefix) == 1 { name = substr($1, 2); flush = flush "-F " name "\n"; chains = chains "-X " name "\n" }
      /^-A / && !(prefix != "" && index($2, prefix) == 1) && ((prefix != "" && index($0, "-j " prefix)) || has_comment($0)) {
        sub(/^-A/, "-D"); rules = rules $0 "\n"
      }
      /^COMMIT/ && rules flush != "" { printf "%s\n%s%s%sCOMMIT\n", table, rules, flush, chains }
      function has_comment(rule) { return index(rule, "--comment " comment " ") || index(rule, "--comment \"" comment "\" ") }
    ' | "$program-restore" -w --noflush 2>/dev/null || say "some $program rules could not be removed; see $program-save"
  done
}
