# shellcheck shell=bash
# Running stages, counting what they found, and the table at the end. Needs lib/env.sh, lib/steps.sh. LOGS is a folder.

PASSED=0 FAILED=0 SKIPPED=0
declare -A RESULT=()
ROWS=()

# How much of a failed stage's log is shown; the rest is in its file.
SHOWN_LINES=60

# run_stage NAME MINUTES WAY [OBSTACLE]: runs the function stage_NAME in a process of its own; with an OBSTACLE it only
# says that it did not.
run_stage() {
  local name=$1 minutes=$2 way=$3 obstacle=$4 log=$LOGS/$1.log status=0 started passed=0 failed=0 skipped=0 result=passed
  started=$(now_us)
  if [[ -n $obstacle ]]; then
    skipped=1 result=skipped
    say "$name: SKIPPED, $obstacle"
  else
    say "$name …"
    # Not with ||: in the stage, which is a function, errors would then not end it.
    set +e
    bounded "$((minutes * 60))" "stage_$name" >"$log" 2>&1 </dev/null
    status=$?
    set -e
    "count_$way" "$log" "$status"
    [[ $failed -eq 0 ]] || result=FAILED
  fi
  # shellcheck disable=SC2034 # scripts/test asks what became of a stage
  RESULT[$name]=$result
  PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
  ROWS+=("$(printf '%-24s %-8s %6s passed %4s failed %4s skipped %8s s' "$name" "$result" "$passed" "$failed" "$skipped" "$(seconds_since "$started")")")
  say "$(printf '%-10s %s in %s s' '' "$result" "$(seconds_since "$started")")"
  if [[ $result == FAILED ]]; then
    say "--- from $log"
    "show_$way" "$log" | tail -n "$SHOWN_LINES" >&2
    say "---"
  fi
}

# bounded SECONDS FUNCTION: runs it in a process group of its own, and ends that when the time is over.
bounded() {
  local status watch
  set -m
  (set +m; trap - EXIT; set -e; "$2") &
  WORKER=$!
  (trap - EXIT; sleep "$1"; echo "ended after $1 s"; kill -TERM -- "-$WORKER"; sleep 10; kill -KILL -- "-$WORKER") 2>/dev/null &
  watch=$!
  set +m
  wait "$WORKER"
  status=$?
  WORKER=''
  kill -- "-$watch" 2>/dev/null
  wait "$watch" 2>/dev/null
  return "$status"
}

# end_stage: for a script that is interrupted: a stage is out of the terminal's reach.
WORKER=''
end_stage() { [[ -z $WORKER ]] || kill -TERM -- "-$WORKER" 2>/dev/null || true; }

# The three ways of counting set passed, failed and skipped of run_stage.

count_whole() { if [[ $2 -eq 0 ]]; then passed=1; else failed=1; fi; }

# count_cargo: libtest's own lines. A test that passed after it said "SKIPPED: why" was skipped; so was an ignored one.
count_cargo() {
  local counted aside
  counted=$(sed -n 's/^test result: .*\. \([0-9]*\) passed; \([0-9]*\) failed; \([0-9]*\) ignored;.*/\1 \2 \3/p' "$1" |
    awk '{ passed += $1; failed += $2; ignored += $3 } END { print passed + 0, failed + 0, ignored + 0 }')
  read -r passed failed skipped <<<"$counted"
  aside=$(awk '/^---- .* stdout ----$/ { said = 0 } /^SKIPPED: / && !said { said = 1; count++ } END { print count + 0 }' "$1")
  passed=$((passed - aside)) skipped=$((skipped + aside))
  # A crash, or a compiler's error, is in no line.
  [[ $2 -eq 0 || $failed -gt 0 ]] || failed=1
  # No test at all is no success.
  [[ $((passed + failed + skipped)) -gt 0 ]] || failed=1
  { sed -n '/^---- .* stdout ----$/{s/^---- \(.*\) stdout ----$/\1/;h;};/^SKIPPED: /{G;s/^SKIPPED: \(.*\)\n\(.*\)/\2: \1/;p;}' "$1"
    sed -n 's/^test \(.*\) \.\.\. ignored\(, \)\{0,1\}\(.*\)/\1: ignored \3/p' "$1"; } | sort -u | sed 's/^/           skipped: /' >&2
}

count_checks() {
  passed=$(grep -c '^ok ' "$1") || true
  failed=$(grep -c '^not ok ' "$1") || true
  skipped=$(grep -c '^skip ' "$1") || true
  [[ $2 -eq 0 || $failed -gt 0 ]] || failed=1
  [[ $((passed + failed + skipped)) -gt 0 ]] || failed=1
  grep -hE '^(not ok|skip) ' "$1" | sed 's/^/           /' >&2 || true
}

# What is worth seeing of a failed stage's log, by the same ways.

show_whole() { cat "$1"; }
show_checks() { cat "$1"; }

# show_cargo: what failed tests said, without the backtraces; where there is no such test, all of it.
show_cargo() {
  local said
  said=$(awk '/^failures:$/ { on = 1; next } /^(successes:|test result: )/ { on = 0 }
    on && !/^ +[0-9]+: / && !/^ +at / && !/^stack backtrace:$/ && NF' "$1")
  if [[ -n $said ]]; then echo "$said"; else cat "$1"; fi
}

# table: on standard output, its last line for machines.
table() {
  local row
  echo
  for row in "${ROWS[@]}"; do echo "$row"; done
  echo
  echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
}
