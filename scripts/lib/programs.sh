# shellcheck shell=bash
# The programs that are built here, and where they are. Needs lib/env.sh.

# shellcheck disable=SC2034 # used by those who source this
PROGRAMS=(harness-delegate terraform-provider-harness)

# host_triple: the compiler's own target. musl would do as well, where its standard library is installed.
host_triple() { rustc -vV | sed -n 's/^host: //p'; }

# programs_dir [release|debug]: where scripts/build puts them. `build.target-dir` and CARGO_TARGET_DIR are honoured.
programs_dir() { echo "$(target_dir)/$(host_triple)/${1:-release}"; }

target_dir() { (cd "$ROOT" && cargo metadata --format-version 1 --no-deps --offline | jq -r .target_directory); }

# cargo_home: where cargo keeps the sources of dependencies.
cargo_home() { realpath -m "${CARGO_HOME:-$HOME/.cargo}"; }

# programs_version: what the programs say of themselves.
programs_version() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml"; }

# platform: this machine, as Terraform calls it.
platform() { echo "linux_$([[ $(uname -m) == aarch64 ]] && echo arm64 || echo amd64)"; }

# mebibytes FILE
mebibytes() { awk -v bytes="$(stat -c %s "$1")" 'BEGIN { printf "%.1f", bytes / 1048576 }'; }
