#!/usr/bin/env bash
# Mutation tests of the five core files: one change of the code at a time, and a test has to fail. Fails below the minimum.
# `mutants.sh FILE…` tests other files; SHARD=0/4 tests the first of four parts. Needs `cargo install cargo-mutants`.
set -euo pipefail
cd "$(dirname "$0")/.."
# Build scripts look at these variables, which make sets for other targets.
unset PKG_CONFIG_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH
minimum=92
command -v cargo-mutants > /dev/null || { echo 'cargo-mutants is missing: cargo install --locked cargo-mutants'; exit 1; }
files=("$@")
[ $# -gt 0 ] || files=(src/cache.rs src/jwt/policy.rs src/webhooks.rs src/request/cookies.rs src/users/sync.rs)
out=build/mutants
mkdir -p "$out"
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
# Unit tests only: each mutant is another build, and the integration tests would take minutes for each.
cargo mutants --jobs 1 --no-shuffle --output "$out" --timeout 120 --build-timeout 1200 --no-default-features \
    ${SHARD:+--shard "$SHARD"} "${files[@]/#/--file=}" -- --lib || [ $? -eq 2 ]
count() { wc -l < "$out/mutants.out/$1.txt"; }
caught=$(($(count caught) + $(count timeout))) missed=$(count missed)
echo "mutants: $caught caught, $missed missed"
cat "$out/mutants.out/missed.txt"
[ $((caught * 100)) -ge $((minimum * (caught + missed))) ]
