#!/usr/bin/env bash
# Builds the fuzz targets as cargo-fuzz does, on any toolchain. With SANITIZER=address also with AddressSanitizer.
# Prints the path of the binary.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
# Build scripts look at these variables, which make sets for other targets.
unset PKG_CONFIG_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=16"
out=../target/fuzz
if [ -n "${SANITIZER:-}" ]; then
    flags+=" -Zsanitizer=$SANITIZER -Cunsafe-allow-abi-mismatch=sanitizer"
    out+="-$SANITIZER"
fi
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_BOOTSTRAP=1 RUSTFLAGS="$flags" cargo build --release --locked --jobs "${JOBS:-2}" --target "$host" --target-dir "$out" >&2
echo "target/${out##*/}/$host/release/fuzz"
