#!/usr/bin/env bash
# Installs what is missing, with apt when root; otherwise says in one line what to install.
# tools.sh [--optional] [PACKAGE]... needs these Debian packages, too. --optional: exits with 3 if they are missing and cannot be
# installed, except in CI.
# Toolchains (Rust, a C compiler, make) are expected; in CI anything that stays missing is a failure.
set -euo pipefail

# command -> Debian package
declare -A packages=(
  [cc]=gcc [c++]=g++ [pkg-config]=pkg-config [cmake]=cmake [valgrind]=valgrind [objcopy]=binutils
  [curl]=curl [flock]=util-linux [jq]=jq [sqlite3]=sqlite3 [python3]=python3
)
PATH=$PATH:/usr/sbin
optional=
[ "${1:-}" = --optional ] && { optional=yes; shift; }
[ "${CI:-}" != true ] || optional=
missing=()
for command in "${!packages[@]}"; do
  command -v "$command" > /dev/null || missing+=("${packages[$command]}")
done
# header -> Debian package. The C examples keep their users in SQLite; the others are for tests and examples in C++.
declare -A headers=(
  [sqlite3.h]=libsqlite3-dev [gtest/gtest.h]=libgtest-dev [nlohmann/json.hpp]=nlohmann-json3-dev
  [httplib.h]=libcpp-httplib-dev [openssl/ssl.h]=libssl-dev [boost/beast/http.hpp]=libboost-dev
)
for header in "${!headers[@]}"; do
  [ -e "/usr/include/$header" ] || [ -e "/usr/local/include/$header" ] || missing+=("${headers[$header]}")
done

for package in "$@"; do
  [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing+=("$package")
done

if ! command -v cargo > /dev/null; then
  echo "missing: Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer (https://rustup.rs)" >&2
  exit 1
fi
for toolchain in go node npm; do
  command -v "$toolchain" > /dev/null && continue
  echo "not here: $toolchain; the binding that needs it is not tested" >&2
  [ "${CI:-}" != true ] || exit 1
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
  echo "missing, please install: ${missing[*]}" >&2
  [ -z "$optional" ] || exit 3
  exit 1
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if ! apt-get update -qq || ! apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null; then
  echo "could not be installed: ${missing[*]}" >&2
  [ -z "$optional" ] || exit 3
  exit 1
fi
