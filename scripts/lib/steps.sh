# shellcheck shell=bash
# Saying what happens now and how long it took. Needs lib/env.sh. LOG is the file that quiet commands write to.

# seconds_since MICROSECONDS: what has passed since then, as 1.5. now_us gives such a point.
now_us() { echo "${EPOCHREALTIME/[.,]/}"; }
seconds_since() { awk -v us="$(($(now_us) - $1))" 'BEGIN { printf "%.1f", us / 1e6 }'; }

# step NAME TEXT: begins a step. step_done TEXT: ends it.
step() {
  STEP=$1
  STEP_STARTED=$(now_us)
  say "$(printf '%-10s %s …' "$1" "$2")"
}
step_done() { say "$(printf '%-10s %s (%s s)' '' "$1" "$(seconds_since "$STEP_STARTED")")"; }

# quietly COMMAND…: its output goes to LOG. Where it fails, the end of that is shown, and the script ends.
quietly() {
  local status=0
  "$@" >>"$LOG" 2>&1 || status=$?
  [[ $status -eq 0 ]] || step_failed "'$1' failed with status $status"
}

# step_failed MESSAGE [REMEDY]: ends the script with the end of LOG and with its path.
step_failed() {
  if [[ -s $LOG ]]; then
    say "--- the end of $LOG"
    tail -n 20 "$LOG" >&2
    say "---"
  fi
  die "$STEP: $1" "${2:-read the message above}; the whole log is $LOG"
}
