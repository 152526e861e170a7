#!/usr/bin/env bash
# Writes build/dist/clerk-auth-VERSION.tar.xz: the files of the commit and the sources of all crates, so that it builds without network.
# `make dist` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
[ -z "$(git status --porcelain)" ] || { echo "uncommitted changes are not part of the tarball: commit them first" >&2; exit 1; }
out=$PWD/build/dist name=clerk-auth-$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out" "$work/$name"
git archive HEAD | tar -x -C "$work/$name"
(cd "$work/$name" && cargo vendor --locked --quiet --versioned-dirs vendor)
mkdir -p "$work/$name/.cargo"
cat > "$work/$name/.cargo/config.toml" << 'CONFIG'
[source.crates-io]
replace-with = "vendored"

[source.vendored]
directory = "vendor"
CONFIG
# The same commit makes the same bytes.
tar -c --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" -C "$work" "$name" |
  xz -T 2 -4 > "$out/$name.tar.xz"
(cd "$out" && sha256sum "$name.tar.xz" | tee "$name.tar.xz.sha256")
