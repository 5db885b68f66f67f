# Run before the script, in the same shell: at its end, whatever brings it about, the wanted variables are written down.
# Names begin with __hd_ to keep out of the script's way. @…@ are filled in.

__hd_dump() {
  __hd_status=$?
  # In a subshell, the variables are not those of the script.
  @ONLY_MAIN_SHELL@ || return "$__hd_status"
  {
    command printf 'begin\0'
@VARIABLES@
    command printf 'end\0'
  } >>@FILE@ || :
  return "$__hd_status"
}

# A script that sets its own trap for its exit must not take ours away: both run, ours before (the script's may not come
# back) and after (it may set a variable).
@TRAP_NAME@() {
  { local -; set +xeu; } 2>/dev/null
  case ${1-} in
    -[lpP]*) @TRAP@ "$@"; return ;;
    --) shift ;;
  esac
  if [ $# -eq 0 ]; then
    @TRAP@
    return
  fi
  __hd_action=-
  if [ $# -gt 1 ]; then
    # A number where the action should be: all are conditions to be reset.
    case $1 in
      '' | *[!0-9]*) __hd_action=$1; shift ;;
    esac
  fi
  __hd_result=0
  for __hd_condition do
    case $__hd_condition in
      0 | EXIT | exit)
        case $__hd_action in
          '' | -) @TRAP@ '{ __hd_dump; } 2>/dev/null' EXIT ;;
          *) @TRAP@ "{ __hd_dump; } 2>/dev/null
$__hd_action
{ __hd_dump; } 2>/dev/null" EXIT ;;
        esac
        ;;
      *) @TRAP@ -- "$__hd_action" "$__hd_condition" || __hd_result=$? ;;
    esac
  done
  return "$__hd_result"
}

@TRAP@ '{ __hd_dump; } 2>/dev/null' EXIT
@SETUP@
