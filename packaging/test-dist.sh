#!/usr/bin/env bash
# Builds and installs the library from the tarball of `make dist`, without network and with an empty cargo home, and runs a program.
# `make test-dist` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -xJf "build/dist/clerk-auth-$version.tar.xz" -C "$work"
cd "$work/clerk-auth-$version"
rustc=$(rustc --print sysroot)/bin
offline=(env -i "PATH=$rustc:/usr/bin:/bin:/usr/sbin:/sbin" "HOME=$work/home" "CARGO_HOME=$work/home/cargo")
mkdir -p "$work/home"
# A network namespace has no device but a loopback interface that is down.
unshare --net true 2> /dev/null && offline=(unshare --net "${offline[@]}")
"${offline[@]}" make --no-print-directory install PREFIX="$work/installed" JOBS=2 > "$work/log.txt" 2>&1 || { tail -n 40 "$work/log.txt" >&2; exit 1; }
cc -o "$work/who" examples/who.c $(PKG_CONFIG_PATH=$work/installed/lib/pkgconfig pkg-config --cflags --libs clerk-auth) -Wl,-rpath,"$work/installed/lib"
CLERK_SECRET_KEY=sk_test_none "$work/who" none | grep '^not signed in: '
echo "ok the tarball builds without network"
