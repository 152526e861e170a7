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

export STORES_WORK
STORES_WORK=$(mktemp -d)
work=$STORES_WORK
chmod 755 "$work"
stop() {
  ./server.sh postgres stop || true
  ./server.sh mariadb stop || true
  rm -rf "$work"
}
trap 'cd "$here" && stop' EXIT

# start NAME: on a free port, at which another program may have arrived first.
start() {
  ./server.sh "$1" create
  for _ in 1 2 3; do
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' > "$work/$1.port"
    if ./server.sh "$1" start; then return; fi
  done
  cat "$work/$1.log" >&2
  return 1
}
start postgres
start mariadb
mariadb --no-defaults --user root --socket "$work/mariadb/socket" --execute 'CREATE DATABASE test'
STORES_POSTGRES="postgres://test@127.0.0.1:$(cat "$work/postgres.port")/postgres?sslmode=disable"
STORES_MARIADB="root@tcp(127.0.0.1:$(cat "$work/mariadb.port"))/test"
export STORES_POSTGRES STORES_MARIADB STORES_SERVER=$here/server.sh

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
