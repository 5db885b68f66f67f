# shellcheck shell=bash
# Whatever cluster there is: which one to use, how its pods reach this machine, how an image gets into its nodes.
# Needs lib/env.sh. KUBECONFIG_FILE and CONTEXT name the cluster.

kube() { kubectl --kubeconfig "$KUBECONFIG_FILE" ${CONTEXT:+--context "$CONTEXT"} --request-timeout=20s "$@"; }

# running_cluster: prints the kind of the cluster that a tool on the PATH runs already, and its name; fails when there
# is none. None is started: that is their owner's choice.
running_cluster() {
  local name
  if have minikube && minikube status >/dev/null 2>&1; then
    echo "minikube $(minikube profile)"
  elif have kind && name=$(kind get clusters 2>/dev/null | head -n 1) && [[ -n $name ]]; then
    echo "kind $name"
  elif have k3d && name=$(k3d cluster list --output json 2>/dev/null | jq -er '[.[] | select(.serversRunning > 0)][0].name // empty'); then
    echo "k3d $name"
  else
    return 1
  fi
}

# cluster_kubeconfig KIND NAME: prints a kubeconfig with this one cluster in it.
cluster_kubeconfig() {
  case $1 in
    minikube) kubectl config view --minify --flatten --context "$2" ;;
    kind) kind get kubeconfig --name "$2" ;;
    k3d) k3d kubeconfig get "$2" ;;
  esac
}

# cluster_uid: tells one cluster from another, whatever their names.
cluster_uid() { kube get namespace kube-system --output 'jsonpath={.metadata.uid}'; }

# pod_gateway: the address at which pods find this machine: the one by which it speaks to the nodes.
pod_gateway() {
  local node address
  node=$(kube get nodes --output json | jq -er '[.items[].status.addresses[] | select(.type == "InternalIP") | .address | select(test("^[0-9.]+$"))][0]') || return 1
  address=$(ip -4 -o route get "$node" 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p')
  [[ -n $address && $address != 127.* ]] || return 1
  echo "$address"
}

# node_kind: prints what kind of cluster it is, and its name, read off its first node; "unknown" for one that images
# have to be pushed to.
node_kind() {
  kube get nodes --output json | jq -r '.items[0] | (.spec.providerID // "") as $id | .metadata as $meta |
    if $meta.labels["minikube.k8s.io/name"] then "minikube \($meta.labels["minikube.k8s.io/name"])"
    elif ($id | startswith("kind://")) then "kind \($id | split("/")[-2])"
    elif ($id | startswith("k3s://k3d-")) then "k3d \($id | ltrimstr("k3s://k3d-") | sub("-(server|agent)-[0-9]+$"; ""))"
    elif $meta.name == "harness-delegate-dev" then "local \($meta.name)"
    else "unknown \($meta.name)" end'
}

# load_image ARCHIVE: puts the image into the cluster's nodes; fails where it has to be pushed to a registry instead.
load_image() {
  local kind name
  read -r kind name <<<"$(node_kind)"
  case $kind in
    minikube) minikube --profile "$name" image load "$1" ;;
    kind) kind load image-archive "$1" --name "$name" ;;
    k3d) k3d image import "$1" --cluster "$name" ;;
    local) "$ROOT/scripts/cluster" load-image "$1" ;;
    *) return 1 ;;
  esac
}

# unload_image IMAGE: the reverse. An image that is left is no harm, so nothing depends on it.
unload_image() {
  local kind name node
  read -r kind name <<<"$(node_kind)" || return 0
  case $kind in
    minikube) minikube --profile "$name" image rm "$1" || true ;;
    kind | k3d)
      for node in $(kube get nodes --output 'jsonpath={.items[*].metadata.name}'); do
        docker exec "$node" crictl rmi "docker.io/library/$1" || true
      done
      ;;
    local) "$ROOT/scripts/cluster" remove-image "$1" || true ;;
  esac
}
