#!/usr/bin/env bash
# Mounts a Cloud Storage bucket with Cloud Storage FUSE on this machine, and installs that first if
# need be (Debian and Ubuntu).
#
#   launch/mount_bucket.sh --bucket=NAME --folder=DIR
#
#   --dry-run          print what would be run, and run nothing
#
# A run folder in it is shared by all hosts of a slice and outlives them. A bucket with a
# hierarchical namespace renames folders at once, which is what checkpoints are completed by.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=launch/lib.sh
source "$here/lib.sh"

opt_bucket="" opt_folder=""
parse "bucket folder" "$@"
required bucket NAME
required folder DIR
[[ $opt_bucket =~ ^[a-z0-9][a-z0-9._-]+$ ]] || fail "--bucket is a name without gs://, not $opt_bucket"

if [[ $opt_dry_run == no ]] && mountpoint -q "$opt_folder"; then exit 0; fi
if [[ $opt_dry_run == yes ]] || ! command -v gcsfuse >/dev/null; then
    key=/usr/share/keyrings/cloud.google.asc
    list=/etc/apt/sources.list.d/gcsfuse.list
    release="$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")"
    run sudo curl --fail --silent --show-error --output "$key" \
        https://packages.cloud.google.com/apt/doc/apt-key.gpg
    run sudo sh -c 'printf "%s\n" "$1" >"$2"' sh \
        "deb [signed-by=$key] https://packages.cloud.google.com/apt gcsfuse-$release main" "$list"
    run sudo apt-get update
    run sudo apt-get install -y gcsfuse
fi
run mkdir -p "$opt_folder"
run gcsfuse --implicit-dirs "$opt_bucket" "$opt_folder"
