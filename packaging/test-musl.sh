#!/usr/bin/env bash
# Builds the archive for musl, as for Alpine, and links and runs a fully static program with it. Needs the target
# <arch>-unknown-linux-musl of rustup and musl-tools. `make test-musl` calls it. From the environment: JOBS, STATIC_LIBS.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(uname -m)-unknown-linux-musl
command -v musl-gcc > /dev/null || { echo "missing: musl-gcc; install musl-tools" >&2; exit 1; }
[ -e "$(rustc --print sysroot)/lib/rustlib/$target" ] || { echo "missing: rustup target add $target" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export "CC_${target//-/_}=musl-gcc"
cargo rustc --release --jobs "${JOBS:-2}" --lib --crate-type staticlib --features mysql,postgres --target "$target"
scripts/archive.sh "target/$target/release/libclerk_auth.a" tests/abi/symbols.txt "$work/libclerk_auth.a"
# Debian's libgcc_eh is for glibc; Rust brings an unwinder for musl.
unwinder=$(rustc --print sysroot)/lib/rustlib/$target/lib/self-contained/libunwind.a
musl-gcc -static -Wall -Werror -Iinclude -o "$work/who" examples/who.c "$work/libclerk_auth.a" "$unwinder"
file "$work/who"
CLERK_SECRET_KEY=sk_test_none "$work/who" none | grep '^not signed in: '
echo "ok a static program for $target"
