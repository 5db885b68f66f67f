before=$(umask)
umask 077
folder=$4
mkdir -m 700 "$folder" || exit 125
trap 'rm -rf -- "$folder"' EXIT
head -c "$1" >"$folder/script"
if [ "$(wc -c <"$folder/script")" -ne "$1" ]; then
  echo "the script did not arrive whole and was not run" >&2
  exit 125
fi
if ! command -v "$2" >/dev/null 2>&1; then
  echo "there is no $2 on this host" >&2
  exit 127
fi
umask "$before"
exec 3<&0
if command -v setsid >/dev/null 2>&1; then
  setsid "$2" "$folder/script" </dev/null 3<&- &
else
  "$2" "$folder/script" </dev/null 3<&- &
fi
script=$!
{
  cat
  kill -TERM "-$script" || kill -TERM "$script"
  sleep "$3"
  kill -KILL "-$script" || kill -KILL "$script"
} <&3 >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$script"
code=$?
kill "$watch" 2>/dev/null
if [ "$5" = end ] && kill -TERM "-$script" 2>/dev/null; then
  echo "processes that the script left behind were ended; let the script wait for them" >&2
  left=$3
  while [ "$left" -gt 0 ] && kill -0 "-$script" 2>/dev/null; do
    sleep 1
    left=$((left - 1))
  done
  kill -KILL "-$script" 2>/dev/null
fi
exit "$code"
