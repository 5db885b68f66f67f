# shellcheck shell=bash
# Clearing away what a container runtime of ours leaves, also after it was killed and can no longer be asked.
# Needs lib/env.sh and lib/process.sh.

# reap_containers SOCKET RUNC_ROOT: ends every container that belongs to the containerd at SOCKET, then its shims.
reap_containers() {
  local pid state
  # Shims first: one that still lives would take part in its container's end and write to the state being removed.
  for pid in $(pids_with "$1"); do
    [[ $(cat "/proc/$pid/comm" 2>/dev/null) != containerd-shim* ]] || kill -KILL "$pid" 2>/dev/null || true
  done
  for state in "$2"/*/*/state.json; do
    [[ -e $state ]] || continue
    state=${state%/state.json}
    runc --root "${state%/*}" delete --force "${state##*/}" 2>/dev/null || say "container ${state##*/} could not be deleted cleanly"
  done
}

# remove_shim_sockets STATE_DIR: containerd keeps its shims' sockets in one directory for the machine, named in each
# container's bundle.
remove_shim_sockets() {
  local file address
  for file in "$1"/io.containerd.runtime.v2.task/*/*/address; do
    [[ -e $file ]] || continue
    address=$(<"$file")
    rm -f "${address#unix://}"
  done
  rmdir /run/containerd/s /run/containerd 2>/dev/null || true
}

# unmount_below DIRECTORY: unmounts everything mounted in it, the deepest first.
unmount_below() {
  local point
  awk -v top="$1/" 'index($5, top) == 1 { print length($5), $5 }' /proc/self/mountinfo | sort -rn | cut -d' ' -f2- |
    while IFS= read -r point; do
      # mountinfo writes blanks and the like as octal escapes.
      umount -l "$(printf '%b' "$point")" 2>/dev/null || true
    done
}

# remove_cgroups NAME: the groups of this name and below it. Only empty ones can be removed, so none that is in use is;
# and only those at the top are looked at: clusters that run in containers have theirs further down.
remove_cgroups() {
  local top
  for top in "/sys/fs/cgroup/$1" /sys/fs/cgroup/*/"$1"; do
    [[ ! -d $top ]] || find "$top" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
}
