#!/usr/bin/env bash
# Runs threads of the library under ThreadSanitizer: Rust tests with an instrumented standard library, then C programs with the
# same archive. Needs the rustup component rust-src. `tsan.sh FILTER…` passes its arguments to cargo test.
set -euo pipefail
cd "$(dirname "$0")/.."
# Build scripts look at these variables, which make sets for other targets.
unset PKG_CONFIG_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH
[ -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ] || { echo 'rust-src is missing: rustup component add rust-src'; exit 1; }
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p build
# aws-lc is not instrumented: only what it does is suppressed, not what its callers do.
printf 'called_from_lib:libcrypto\nrace:aws_lc_*\n' > build/tsan.supp
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread" CARGO_TARGET_DIR=target/tsan
export TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/build/tsan.supp"
args=("$@")
[ $# -gt 0 ] || args=(--lib --test noise --test keys --test flow --test authority)
cargo test -Zbuild-std --target "$host" --jobs "${JOBS:-2}" --no-default-features --features sqlite,capi "${args[@]}"
[ $# -eq 0 ] || exit 0
cargo rustc -Zbuild-std --jobs "${JOBS:-2}" --lib --crate-type staticlib --target "$host"
SANITIZE=thread tests/c/sanitize.sh "target/tsan/$host/debug/libclerk_auth.a" threads lifetime pending webhook
