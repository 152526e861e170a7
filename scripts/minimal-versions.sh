#!/usr/bin/env bash
# Builds the library with the lowest versions that Cargo.toml allows for its own dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
# Build scripts look at these variables, which make sets for other targets.
unset PKG_CONFIG_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH
copy=build/minimal-versions
rm -rf "$copy"
mkdir -p "$copy"
cp -r Cargo.toml build.rs src include README.md "$copy"
# What only tests need does not count, nor do the members of the workspace.
sed -i -e '/^\[dev-dependencies\]/,/^$/d' -e '/^members = /d' -e '/^exclude = /d' -e '/^\[\[bench\]\]/,/^$/d' "$copy/Cargo.toml"
cd "$copy"
RUSTC_BOOTSTRAP=1 cargo update -q -Z direct-minimal-versions
cargo tree --depth 1 --edges normal --prefix none | sort -u
cargo check --lib --all-features --jobs "${JOBS:-2}" --target-dir ../../target/minimal-versions
