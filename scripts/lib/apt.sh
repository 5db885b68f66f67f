# shellcheck shell=bash
# Debian packages, installed only where the thing they bring is missing. Needs lib/env.sh.

# apt_need THING=PACKAGE…: installs the packages whose THING (a command, or an absolute path) is not there.
# Services that a package brings are not started: the scripts run what they need themselves, privately.
apt_need() {
  local pair thing missing=()
  for pair in "$@"; do
    thing=${pair%%=*}
    if [[ $thing == /* ]]; then [[ -e $thing ]] || missing+=("${pair#*=}"); else have "$thing" || missing+=("${pair#*=}"); fi
  done
  [[ ${#missing[@]} -eq 0 ]] || apt_get "${missing[@]}"
}

# apt_get PACKAGE…: installs them. The package lists of an image are often empty or old; they are fetched when the
# first try fails.
apt_get() {
  have apt-get || die "missing: $* (Debian package names)" "install them with this system's package manager, then run this script again"
  local output
  say "installing $* …"
  apt_install "$@" >/dev/null 2>&1 && return 0
  as_root apt-get update -qq >&2 || die "apt-get update failed" "check the network and the sources in /etc/apt, then run this script again"
  output=$(apt_install "$@" 2>&1) && return 0
  say "$output"
  die "apt-get could not install $*" "read apt's message above; after mending it, run this script again"
}

# apt_install PACKAGE…, with a policy that keeps services from starting while it runs, where the machine has none.
apt_install() {
  local policy=/usr/sbin/policy-rc.d ours='' status=0
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 0755 "$policy"
    ours=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" || status=$?
  [[ -z $ours ]] || as_root rm -f "$policy"
  return "$status"
}
