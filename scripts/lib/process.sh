# shellcheck shell=bash
# Processes that outlive the script that started them, found again by pid file. Needs lib/env.sh.
#
# A pid file holds "PID START BOOT": the process id, its start time in ticks since boot, and the id of that boot. A pid
# that was given to another process since, or that is left from before a reboot, is therefore never taken for ours.

boot_id() { cat /proc/sys/kernel/random/boot_id; }

# process_identity PID: prints what a pid file holds, or fails when there is no such process or only its zombie.
process_identity() {
  local stat fields
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  # The second field is the program's name in parentheses, and may hold blanks: what follows the last one is counted.
  read -ra fields <<<"${stat##*) }"
  [[ ${fields[0]} != [ZX] ]] || return 1
  echo "$1 ${fields[19]} $(boot_id)"
}

# is_running PIDFILE
is_running() {
  local recorded
  { read -r recorded <"$1"; } 2>/dev/null || return 1
  [[ $(process_identity "${recorded%% *}") == "$recorded" ]]
}

# start_process PIDFILE LOGFILE COMMAND…: starts it in a session of its own, so that it survives this script and its
# terminal. Descriptor 9 is the script's lock, which must not live on in the process.
start_process() {
  local pidfile=$1 logfile=$2
  shift 2
  setsid "$@" >"$logfile" 2>&1 </dev/null 9>&- &
  process_identity "$!" >"$pidfile" || true
}

# stop_process PIDFILE [SECONDS]: asks it to end, waits for it, kills it when the time is over.
stop_process() {
  local pid _
  if is_running "$1"; then
    read -r pid _ <"$1"
    kill -TERM "$pid" 2>/dev/null || true
    wait_until "${2:-20}" not is_running "$1" || say "process $pid did not end by itself, killing it"
  fi
  kill_process "$1"
}

# kill_process PIDFILE: for one whose state is thrown away with it.
kill_process() {
  local pid _
  if is_running "$1"; then
    read -r pid _ <"$1"
    kill -KILL "$pid" 2>/dev/null || true
    wait_until 10 not is_running "$1" || die "process $pid cannot be killed" "look at it with: ps -o pid,stat,wchan,args -p $pid"
  fi
  rm -f "$1"
}

not() { ! "$@"; }

# wait_until SECONDS COMMAND…: waits for the command to succeed, asking ten times a second.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [[ $SECONDS -lt $deadline ]] || return 1
    sleep 0.1
  done
}

# pids_with TEXT: the processes of this machine that have TEXT as one whole argument or as its start.
pids_with() {
  local directory argument
  for directory in /proc/[0-9]*; do
    while IFS= read -r -d '' argument; do
      [[ $argument != "$1"* ]] || { echo "${directory#/proc/}"; break; }
    done 2>/dev/null <"$directory/cmdline" || true
  done
}
