#!/usr/bin/env bash
# The shared cache in Redis, then the user table on SQLite, PostgreSQL and MariaDB. Ends with `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
passed=0 failed=0
for part in redis sql; do
  echo "== $part"
  status=0
  "./$part.sh" | tee "$output" || status=$?
  read -r ok bad < <(sed -nE '$s/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$output") || { ok=0 bad=1; }
  [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
  passed=$((passed + ok)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
