#!/usr/bin/env bash
# Installs what is missing, with apt when root; otherwise says in one line what to install.
# Toolchains (Rust, a C compiler, make) are expected; in CI anything that stays missing is a failure.
set -euo pipefail

# command -> Debian package
declare -A packages=(
  [cc]=gcc [c++]=g++ [pkg-config]=pkg-config [cmake]=cmake [valgrind]=valgrind [objcopy]=binutils
  [curl]=curl [jq]=jq [sqlite3]=sqlite3 [python3]=python3
)
missing=()
for command in "${!packages[@]}"; do
  command -v "$command" > /dev/null || missing+=("${packages[$command]}")
done
# The C examples keep their users in SQLite through its C API.
pkg-config --exists sqlite3 2> /dev/null || missing+=(libsqlite3-dev)

if ! command -v cargo > /dev/null; then
  echo "missing: Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer (https://rustup.rs)" >&2
  exit 1
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
  echo "missing, please install: ${missing[*]}" >&2
  exit 1
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
