#!/usr/bin/env bash
# Tests the user stores of the bindings with PostgreSQL and MariaDB, in several processes at once. Each database runs as an
# ordinary user, in a temporary directory, on a free port of the loopback interface. Run `make test-stores` at the top.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD root=$(cd ../.. && pwd)

stage=${CLERK_STAGE:-$root/build/stage} sim=${CLERK_SIM:-$root/target/release/clerk-sim}
for name in "${!CLERK_@}"; do unset "$name"; done # the caller's Clerk settings must not apply
export CLERK_STAGE=$stage CLERK_SIM=$sim PKG_CONFIG_PATH=$stage/lib/pkgconfig GOTOOLCHAIN=local GOFLAGS=-mod=readonly
unset LD_LIBRARY_PATH

PATH=$PATH:$(printf '%s:' /usr/lib/postgresql/*/bin)/usr/sbin
for tool in go node npm initdb pg_ctl mariadbd mariadb-install-db python3; do
  command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done

work=$(mktemp -d)
chmod 755 "$work"
# The process that the database itself names: in between there may be a shell.
stop_mariadb() {
  [ ! -s "$work/mariadb/pid" ] || kill -9 "$(cat "$work/mariadb/pid")" 2> /dev/null || true
  [ -z "${mariadb:-}" ] || wait "$mariadb" 2> /dev/null || true
  mariadb=
}
stop() {
  [ ! -e "$work/postgres/postmaster.pid" ] || as postgres pg_ctl -D "$work/postgres" -m immediate -w stop > /dev/null || true
  stop_mariadb
  rm -rf "$work"
}
trap stop EXIT

# as USER COMMAND...: the databases refuse to run as root.
as() {
  local user=$1
  shift
  if [ "$(id -u)" -eq 0 ]; then setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@"; else "$@"; fi
}
folder() {
  mkdir "$work/$2"
  if [ "$(id -u)" -eq 0 ]; then chown "$1" "$work/$2"; fi
}
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_postgres() {
  local port
  folder postgres postgres
  as postgres initdb --pgdata "$work/postgres" --auth trust --username test --no-sync > /dev/null
  for _ in 1 2 3; do
    port=$(free_port)
    as postgres pg_ctl -D "$work/postgres" -l "$work/postgres/log" -w -s start -o \
      "-p $port -h 127.0.0.1 -k $work/postgres -c fsync=off -c max_connections=200" || continue
    export STORES_POSTGRES="postgres://test@127.0.0.1:$port/postgres?sslmode=disable"
    return
  done
  cat "$work/postgres/log" >&2
  return 1
}

start_mariadb() {
  local port
  folder mysql mariadb
  as mysql mariadb-install-db --no-defaults --datadir="$work/mariadb" --auth-root-authentication-method=normal --skip-test-db > /dev/null
  for _ in 1 2 3; do
    port=$(free_port)
    as mysql mariadbd --no-defaults --datadir="$work/mariadb" --port="$port" --bind-address=127.0.0.1 \
      --socket="$work/mariadb/socket" --pid-file="$work/mariadb/pid" --innodb-flush-log-at-trx-commit=0 2> "$work/mariadb/log" &
    mariadb=$!
    for _ in $(seq 200); do
      if mariadb --no-defaults --user root --socket "$work/mariadb/socket" --execute 'CREATE DATABASE test' 2> /dev/null; then
        export STORES_MARIADB="root@tcp(127.0.0.1:$port)/test"
        return
      fi
      kill -0 "$mariadb" 2> /dev/null || break
      sleep 0.1
    done
    stop_mariadb
  done
  cat "$work/mariadb/log" >&2
  return 1
}

start_postgres
start_mariadb

"$root/bindings/go/lib/copy.sh"
(cd "$root/bindings/node" && { [ -e node_modules/node-api-headers ] || npm ci --silent --ignore-scripts; } && node build.mjs > /dev/null)
cmp -s node/package-lock.json node/node_modules/installed-lock.json || {
  npm ci --silent --ignore-scripts --prefix node
  cp node/package-lock.json node/node_modules/installed-lock.json
}
export STORES_NODE=$here/node STORES_CLERK_AUTH=$root/bindings/node/lib

status=0
(cd "$root/bindings/go/stores" && timeout 900 go test -count=1 -v ./...) > "$work/go.txt" 2>&1 || status=$?
(cd node && timeout 300 node --test --test-reporter=tap libraries.test.mjs) > "$work/node.txt" 2>&1 || status=$?
[ "$status" -eq 0 ] || { tail -n 100 "$work/go.txt"; grep -A 25 '^not ok' "$work/node.txt" || tail -n 40 "$work/node.txt"; }
{
  # Each leaf of the tree of Go's tests counts.
  grep -E '^ *--- (PASS|FAIL)' "$work/go.txt" | sed 's/^ *--- //; s/: /\t/; s/ (.*//' | sort -t "$(printf '\t')" -k 2 |
    awk -F '\t' 'NR > 1 && index($2, last "/") != 1 { print result, last } { result = $1; last = $2 } END { if (NR) print result, last }'
  sed -n 's/^ok [0-9]* - /PASS /p; s/^not ok [0-9]* - /FAIL /p' "$work/node.txt"
} > "$work/results.txt" || true
sort -k2 "$work/results.txt"
passed=$(grep -c '^PASS' "$work/results.txt" || true)
failed=$(grep -c '^FAIL' "$work/results.txt" || true)
echo "$passed passed, $failed failed"
[ "$status" -eq 0 ] && [ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
