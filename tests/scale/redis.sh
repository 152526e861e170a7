#!/usr/bin/env bash
# Runs the tests of the shared cache against a real Redis, or against the server that REDIS_SERVER names (valkey-server), and ends
# with `N passed, N failed`. Each test starts servers of its own on loopback, as an ordinary user.
set -euo pipefail
cd "$(dirname "$0")/../.."
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --locked --jobs "${JOBS:-2}" --test scale -- --test-threads 2 --show-output "$@" > "$output" 2>&1 || status=$?
[ "$status" -eq 0 ] || cat "$output"
grep -E '^test [^ ]+ \.\.\. (ok|FAILED)$' "$output" | grep -v '^test processes::child ' | sort || true
grep -E '^refused after' "$output" || true
passed=$(grep -cE '^test [^ ]+ \.\.\. ok$' "$output" || true)
failed=$(grep -cE '^test [^ ]+ \.\.\. FAILED$' "$output" || true)
[ "$failed" -gt 0 ] || [ "$status" -eq 0 ] || failed=1
echo "$passed passed, $failed failed"
[ "$status" -eq 0 ] && [ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
