#!/usr/bin/env bash
# Runs the C tests and the fuzz targets under AddressSanitizer and LeakSanitizer, including the library's own code.
# Needs `make sim`.
set -euo pipefail
cd "$(dirname "$0")/.."
# Build scripts look at these variables, which make sets for other targets.
unset PKG_CONFIG_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH
host=$(rustc -vV | sed -n 's/^host: //p')
# --target keeps the flags away from build scripts.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer" CARGO_TARGET_DIR=target/asan \
    cargo rustc --jobs "${JOBS:-2}" --lib --crate-type staticlib --target "$host"
SANITIZE=address tests/c/sanitize.sh "target/asan/$host/debug/libclerk_auth.a"
scripts/fuzz-servers.sh "${SECONDS_EACH:-5}"
SANITIZER=address FUZZ_SLOW=1 scripts/fuzz.sh "${SECONDS_EACH:-5}"
