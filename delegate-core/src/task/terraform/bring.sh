set -eu
mkdir -p -- "$1"
[ -z "${4-}" ] || mkdir -p -- "$4"
cd -- "$1"
if [ -f "$3" ]; then
  while IFS= read -r name; do
    case $name in
      '' | /* | *..*) ;;
      *) rm -f -- "./$name" ;;
    esac
  done <"$3"
fi
if [ -s "$2/$3" ]; then
  cp -R -- "$2/." .
else
  rm -f -- "$3"
fi
