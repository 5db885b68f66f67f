# shellcheck shell=bash
# Container images made without an engine: layers are tar files, and the archive is the one `docker save` writes, which
# `docker load` and `ctr images import` both take. The same input gives the same bytes. Needs lib/env.sh, tar and jq.

# archive_layer DIRECTORY FILE: packs a directory tree as a layer in which everything belongs to root.
archive_layer() {
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -C "$1" -cf "$2.new" .
  mv "$2.new" "$2"
}

# archive_image OUTPUT TAG CONFIG LAYER…: CONFIG is the JSON object of the image's settings (Entrypoint, User, Env, …).
archive_image() {
  local output=$1 tag=$2 config=$3 work layer digest digests=() names=()
  shift 3
  work=$(mktemp -d "$CACHE/image.XXXXXX")
  for layer in "$@"; do
    digest=$(sha256sum "$layer" | cut -d' ' -f1)
    digests+=("sha256:$digest")
    names+=("$digest.tar")
    ln -f "$layer" "$work/$digest.tar" 2>/dev/null || cp "$layer" "$work/$digest.tar"
  done
  jq -cn --argjson config "$config" '{architecture: "amd64", os: "linux", created: "1970-01-01T00:00:00Z", config: $config,
    rootfs: {type: "layers", diff_ids: $ARGS.positional}, history: [$ARGS.positional[] | {created: "1970-01-01T00:00:00Z"}]}' --args "${digests[@]}" >"$work/config.json"
  digest=$(sha256sum "$work/config.json" | cut -d' ' -f1)
  mv "$work/config.json" "$work/$digest.json"
  jq -cn --arg tag "$tag" --arg config "$digest.json" '[{Config: $config, RepoTags: [$tag], Layers: $ARGS.positional}]' --args "${names[@]}" >"$work/manifest.json"
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar --hard-dereference -C "$work" -cf "$output.new" manifest.json "$digest.json" "${names[@]}"
  mv "$output.new" "$output"
  rm -rf "$work"
}
