#!/usr/bin/env bash
# The user table on SQLite, PostgreSQL and MariaDB: one suite for the three, with several processes, kill -9, failover and missing
# rights. The servers are those of the system; the tests start and stop them. Run `make test-scale` at the top.
set -euo pipefail
cd "$(dirname "$0")/../.."

PATH=$PATH:$(printf '%s:' /usr/lib/postgresql/*/bin)/usr/sbin
for tool in cargo initdb postgres psql mariadbd mariadb mariadb-install-db openssl pgrep setpriv; do
  command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done
for name in "${!CLERK_@}"; do # the caller's Clerk settings must not apply
  case $name in CLERK_AUTH_CRASH_S | CLERK_AUTH_TEST_ENGINE) ;; *) unset "$name" ;; esac
done

work=$(mktemp -d)
chmod 755 "$work"
# The tests stop their servers; this is for tests that were killed.
stop() {
  local file
  for file in "$work"/*/data/db/postmaster.pid "$work"/*/data/pid; do
    [ ! -s "$file" ] || kill -9 "$(head -n 1 "$file")" 2> /dev/null || true
  done
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

[ "$#" -gt 0 ] || RUST_BACKTRACE=0 timeout 600 cargo test --quiet --jobs "${JOBS:-2}" --features mysql,postgres --test hostile_databases
TMPDIR=$work RUST_BACKTRACE=0 timeout 1800 cargo test --quiet --jobs "${JOBS:-2}" --features mysql,postgres \
  --test databases -- "$@"
