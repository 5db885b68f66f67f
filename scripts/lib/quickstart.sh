# shellcheck shell=bash
# What scripts/quickstart keeps of one target, and how it runs programs against it. Needs lib/env.sh, lib/process.sh,
# lib/programs.sh, lib/steps.sh and lib/pods.sh.
#
# A target's folder (STATE) holds:
#   settings     NAME=value lines that a later run needs
#   manager.env  what the manager said of itself: account, token, API key, URL; mode 0600
#   manager/     the manager's data; beside it manager.pid and manager.log
#   plugins/     a mirror with our provider, for Terraform; the delegate's program lies beside it, where the provider looks
#   terraform/   the example, its state and its lock file
#   delegate/    the installation, with target host
#   env          all of that for a shell; mode 0600

NAMESPACE=harness-delegate-quickstart

# use_target TARGET
use_target() {
  TARGET=$1
  STATE=${XDG_STATE_HOME:-$HOME/.local/state}/harness-delegate/quickstart/$TARGET
  LOG=$STATE/quickstart.log
  PLUGINS=$STATE/plugins
  EXAMPLE=$ROOT/examples/quickstart
  [[ $TARGET == host ]] || EXAMPLE=$EXAMPLE/kubernetes
  PLUGIN=$PLUGINS/current
  TERRAFORM=$(command -v terraform || command -v tofu || echo terraform)
}

# value NAME, set_value NAME VALUE: the last line of a name counts. The manager writes such lines too.
value() { { cat "$STATE/settings" "$STATE/manager.env" 2>/dev/null || true; } | sed -n "s/^$1=//p" | tail -n 1; }
set_value() {
  touch "$STATE/settings"
  { grep -v "^$1=" "$STATE/settings" || true; printf '%s=%s\n' "$1" "$2"; } >"$STATE/settings.new"
  mv "$STATE/settings.new" "$STATE/settings"
}

# install_plugin DIRECTORY: both programs, into a mirror as Terraform wants it. Terraform remembers the provider's checksum,
# so another program makes it begin anew.
install_plugin() {
  local digest version directory program
  digest=$(cat "${PROGRAMS[@]/#/$1/}" | sha256sum | cut -d' ' -f1)
  version=$(programs_version)
  directory=$PLUGINS/terraform.local/harness/harness/$version/$(platform)
  if [[ $(value PLUGIN_DIGEST) != "$digest" ]]; then
    rm -rf "$PLUGINS" "$STATE/terraform/.terraform" "$STATE/terraform/.terraform.lock.hcl"
    mkdir -p "$directory"
    cp "$1/harness-delegate" "$directory/harness-delegate"
    cp "$1/terraform-provider-harness" "$directory/terraform-provider-harness_v$version"
    for program in "$directory"/*; do chmod 0700 "$program"; done
    ln -s "${directory#"$PLUGINS/"}" "$PLUGIN"
    # The running manager is the old program.
    stop_process "$STATE/manager.pid"
    set_value PLUGIN_DIGEST "$digest"
  fi
  cat >"$STATE/terraform.tfrc" <<HCL
provider_installation {
  filesystem_mirror {
    path    = "$PLUGINS"
    include = ["terraform.local/*/*"]
  }
  direct {
    exclude = ["terraform.local/*/*"]
  }
}
HCL
}

# --- the manager -------------------------------------------------------------------------------------------------------

# It starts in a tenth of a second.
MANAGER_START_SECONDS=20

# manager_up ADDRESS: starts it where it does not run. The first time it takes a free port of ADDRESS, and keeps it.
manager_up() {
  local listen=$1:0 url
  is_running "$STATE/manager.pid" && return 0
  url=$(value MANAGER_URL)
  [[ -z $url ]] || listen=${url#http://}
  (umask 077 && touch "$STATE/manager.env")
  sed -i '/^MANAGER_URL=/d' "$STATE/manager.env"
  # It says on standard output what it made, once, and then where it listens.
  # shellcheck disable=SC2016 # expanded by the inner shell
  start_process "$STATE/manager.pid" "$STATE/manager.log" bash -c 'umask 077; out=$1; shift; exec "$@" >>"$out"' bash "$STATE/manager.env" \
    env --unset=MANAGER_LISTEN --unset=MANAGER_DATABASE_URL --unset=MANAGER_ACCOUNT_ID --unset=MANAGER_DELEGATE_TOKEN --unset=MANAGER_API_KEY \
    "$PLUGIN/harness-delegate" manager --listen "$listen" --data-dir "$STATE/manager"
  wait_until "$MANAGER_START_SECONDS" manager_announced_or_ended || true
  manager_announced && return 0
  # Its address is needed for the next try.
  [[ -z $url ]] || echo "MANAGER_URL=$url" >>"$STATE/manager.env"
  LOG=$STATE/manager.log step_failed "the manager did not start" "mend what it says, or begin anew: scripts/quickstart --destroy --target $TARGET"
}

manager_announced() { is_running "$STATE/manager.pid" && [[ -n $(value MANAGER_URL) ]]; }
manager_announced_or_ended() { manager_announced || ! is_running "$STATE/manager.pid"; }

# manager_cli VERB…: the manager's command line. The key is in the environment, where other users cannot see it.
manager_cli() { HARNESS_ENDPOINT=$(value MANAGER_URL) HARNESS_PLATFORM_API_KEY=$(value MANAGER_API_KEY) "$PLUGIN/harness-delegate" "$@"; }

# --- terraform ---------------------------------------------------------------------------------------------------------

# settings_of_terraform: NAME=value lines.
settings_of_terraform() {
  printf '%s\n' "TF_CLI_CONFIG_FILE=$STATE/terraform.tfrc" CHECKPOINT_DISABLE=1 "TF_VAR_manager_url=$(value MANAGER_URL)" \
    "TF_VAR_account_id=$(value MANAGER_ACCOUNT_ID)" "TF_VAR_delegate_token=$(value MANAGER_DELEGATE_TOKEN)"
  if [[ $TARGET == host ]]; then
    echo "TF_VAR_directory=$STATE/delegate"
  else
    printf '%s\n' "TF_VAR_kubeconfig=$KUBECONFIG_FILE" "TF_VAR_image=$(value IMAGE)" "TF_VAR_namespace=$NAMESPACE"
    [[ -z $CONTEXT ]] || echo "TF_VAR_context=$CONTEXT"
  fi
}

# tf COMMAND OPTION…: Terraform in its folder, whatever the user's own settings of it are. Descriptor 9 is the script's
# lock, which must not live on in what Terraform starts.
tf() {
  local command=$1
  shift
  (
    unset "${!TF_@}"
    while IFS= read -r line; do export "${line?}"; done < <(settings_of_terraform)
    exec "$TERRAFORM" "-chdir=$STATE/terraform" "$command" -no-color "$@"
  ) </dev/null 9>&-
}

# write_env: a file for the shell of whoever wants to look.
write_env() {
  local line
  (umask 077 && : >"$STATE/env")
  {
    echo "# The quickstart of target $TARGET, for a shell: . $STATE/env"
    # shellcheck disable=SC2016 # expanded by whoever reads the file
    printf 'export PATH=%q:"$PATH"\n' "$PLUGIN"
    while IFS= read -r line; do printf 'export %s=%q\n' "${line%%=*}" "${line#*=}"; done < <(
      settings_of_terraform
      printf '%s\n' "HARNESS_ENDPOINT=$(value MANAGER_URL)" "HARNESS_PLATFORM_API_KEY=$(value MANAGER_API_KEY)"
    )
  } >"$STATE/env"
}

# --- the cluster -------------------------------------------------------------------------------------------------------

# choose_cluster: sets KUBECONFIG_FILE, CONTEXT and CLUSTER, its description.
# shellcheck disable=SC2034 # used by scripts/quickstart
choose_cluster() {
  local found
  if [[ -n $KUBECONFIG_FILE ]]; then
    CLUSTER="the cluster of $KUBECONFIG_FILE"
    set_value KUBECONFIG_FILE "$KUBECONFIG_FILE"
    set_value CONTEXT "$CONTEXT"
  elif [[ -n $(value KUBECONFIG_FILE) ]]; then
    load_cluster
    CLUSTER="the cluster of the run before"
  elif found=$(running_cluster); then
    CLUSTER="the $found"
    KUBECONFIG_FILE=$STATE/kubeconfig
    # shellcheck disable=SC2086 # kind and name
    (umask 077 && cluster_kubeconfig $found >"$KUBECONFIG_FILE" 2>>"$LOG") || step_failed "the kubeconfig of $found cannot be had"
    set_value KUBECONFIG_FILE "$KUBECONFIG_FILE"
  else
    CLUSTER="the one-node Kubernetes of scripts/cluster"
    local_cluster
    KUBECONFIG_FILE=$("$ROOT/scripts/cluster" kubeconfig)
    set_value KUBECONFIG_FILE "$KUBECONFIG_FILE"
  fi
  # After a reboot the local cluster is not there any more.
  [[ $KUBECONFIG_FILE != "$("$ROOT/scripts/cluster" kubeconfig)" ]] || local_cluster
}

# local_cluster: starts it where it is not up. Whoever starts it stops it, so that is written down first.
local_cluster() {
  "$ROOT/scripts/cluster" status >/dev/null 2>&1 && return 0
  set_value CLUSTER_STARTED yes
  "$ROOT/scripts/cluster" up >/dev/null
}

# load_cluster: the cluster of the run before.
load_cluster() {
  [[ $TARGET == kubernetes ]] || return 0
  KUBECONFIG_FILE=$(value KUBECONFIG_FILE)
  CONTEXT=$(value CONTEXT)
}

# same_cluster: one folder knows one cluster.
same_cluster() {
  local uid known
  uid=$(cluster_uid)
  known=$(value CLUSTER_UID)
  if [[ -n $known && $known != "$uid" ]]; then
    if [[ -s $STATE/terraform/terraform.tfstate ]]; then
      die "the quickstart is installed in another cluster" "remove it there first, with: scripts/quickstart --destroy --target kubernetes"
    fi
  fi
  set_value CLUSTER_UID "$uid"
}

# cluster_is_gone: whether the objects went with their cluster: the local one, when it is down.
cluster_is_gone() {
  [[ $TARGET == kubernetes && $KUBECONFIG_FILE == "$("$ROOT/scripts/cluster" kubeconfig)" && ! -e $KUBECONFIG_FILE ]]
}

# forget_image IMAGE BUT: removes an image of ours, unless it is BUT, from the Docker engine and from the cache, where
# scripts/image put it.
forget_image() {
  local engine
  [[ $1 == harness-delegate:quickstart-* && $1 != "$2" ]] || return 0
  rm -f "$CACHE/images/${1/:/_}.tar" "$CACHE/images/${1/:/_}.tar.stamp"
  engine=$("$ROOT/scripts/engine" find 2>/dev/null) || return 0
  env "$engine" docker image rm "$1" >>"$LOG" 2>&1 || true
}
