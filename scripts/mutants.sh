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
for file in "${files[@]}"; do
    # cargo-mutants finds nothing to change in a file that was renamed, and is content.
    [ -f "$file" ] || { echo "$file does not exist"; exit 1; }
done
out=$PWD/build/mutants
rm -rf "$out"
mkdir -p "$out"
# What the copies have built is kept for the next run; each mutant builds this package only, without what a debugger needs.
export CARGO_TARGET_DIR=$PWD/target/mutants CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
# run OPTION…: `--cargo-arg` selects what is built and run. Mutants that survive, or run for too long, are no error here.
run() {
    cargo mutants --jobs 1 --output "$out" --timeout 60 --build-timeout 1200 --colors never \
        --shuffle ${SHARD:+--shard "$SHARD"} "${files[@]/#/--file=}" "$@" || { status=$?; [ $status -eq 2 ] || [ $status -eq 3 ]; }
}
names() { cat "$out/mutants.out/$1.txt"; }
# The unit tests find most of them, without those that take seconds and test other files. For the others it is worth to build the integration tests that use these files.
run --no-default-features --cargo-arg=--lib -- -- --skip million --skip retry_after --skip across_fork_counts
viable=$(cat "$out"/mutants.out/{caught,timeout,missed}.txt | wc -l)
[ "$viable" -gt 0 ] || { echo 'no mutant could be tested'; exit 1; }
if [ -n "$(names missed)" ]; then
    echo "missed by the unit tests:"
    names missed
    run --iterate --cargo-arg=--test={attacks,authority,flow,webhooks}
fi
missed=$(names missed | wc -l)
echo "mutants: $((viable - missed)) of $viable caught, missed:"
names missed
[ $(((viable - missed) * 100)) -ge $((minimum * viable)) ]
