#!/bin/sh
# Builds door.rs with the machine's own rustc and runs it under the preload: rust.sh SOURCE PRELOAD DAEMON
command -v rustc >/dev/null || { echo "no rustc: skipped"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
rustc --edition 2021 -O -o "$dir/door" "$1" || exit 1
AZIHSM_PRELOAD_DAEMON=$3 LD_PRELOAD=$2 "$dir/door"
