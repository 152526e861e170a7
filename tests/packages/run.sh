#!/usr/bin/env bash
# From nothing to an authenticated request, with the lines of the READMEs only: empty projects of npm, pnpm, yarn and Go that
# install the packages of `make pack-node` and `make pack-go` from the loopback interface and from a folder. Run
# `make test-packages` at the top.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD root=$(cd ../.. && pwd)
sim=${CLERK_SIM:-$root/target/release/clerk-sim}
for name in "${!CLERK_@}"; do unset "$name"; done
pnpm=12.21.0 yarn=1.22.22
for tool in node npm go cc curl python3 readelf; do
  command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done

work=$(mktemp -d)
# pnpm and yarn are tools of this test; everything after them comes from the packages alone.
tools=$root/build/package-managers
[ "$(cat "$tools/versions" 2> /dev/null)" = "$pnpm $yarn" ] || {
  npm install --silent --no-save --prefix "$tools" --ignore-scripts "pnpm@$pnpm" "yarn@$yarn"
  echo "$pnpm $yarn" > "$tools/versions"
}

# start NAME COMMAND...: a server that ends when its standard input does, and prints one line.
mkfifo "$work/input"
exec 9<> "$work/input"
servers=()
start() {
  "${@:2}" < "$work/input" > "$work/$1.txt" &
  servers+=($!)
  for _ in $(seq 200); do [ -s "$work/$1.txt" ] && break; sleep 0.05; done
  head -n 1 "$work/$1.txt" > "$work/$1"
}
stop() {
  kill "${servers[@]}" || true
  chmod -R u+w "$work"
  rm -rf "$work"
}
trap stop EXIT
start registry node "$here/registry.mjs" "$root/build/npm"
start sim "$sim" serve --exit-with-stdin
registry=$(cat "$work/registry") addresses=$(cat "$work/sim")
api=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["url"])' "$addresses")
admin=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["admin_url"])' "$addresses")
token=$(curl -sf -X POST "$admin/mint" -d '{"user": "user_1"}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')

passed=0 failed=0
check() {
  local name=$1 status=0
  shift
  ("$@") > "$work/output.txt" 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    echo "ok $name"
    passed=$((passed + 1))
  else
    echo "FAIL $name ($status)"
    tail -n 40 "$work/output.txt" | sed 's/^/    /'
    failed=$((failed + 1))
  fi
}

# serves ADDRESS COMMAND...: the program prints its port or its URL, and authenticates.
serves() (
  set -e
  rm -f "$work/address.txt" "$work/body.txt"
  CLERK_SECRET_KEY=sk_test_sim CLERK_API_URL=$api PORT=0 "$@" > "$work/address.txt" &
  server=$!
  trap 'kill "$server"' EXIT
  for _ in $(seq 200); do [ -s "$work/address.txt" ] && break; sleep 0.05; done
  address=$(cat "$work/address.txt")
  case $address in http*) ;; *) address=http://127.0.0.1:$address ;; esac
  [ "$(curl -s -o "$work/body.txt" -w '%{http_code}' -H "Authorization: Bearer $token" "$address")" = 200 ]
  grep user_1 "$work/body.txt"
  [ "$(curl -s -o /dev/null -w '%{http_code}' "$address")" = 401 ]
)

# The first code of a README in a language.
example() {
  awk -v fence='```'"$2" '$0 == fence && !done { on = 1; next } on && /^```/ { on = 0; done = 1 } on' "$1"
}

node_project() {
  set -e
  mkdir "$work/$1"
  cd "$work/$1"
  echo '{"private": true}' > package.json
  export npm_config_registry=$registry npm_config_cache=$work/cache HOME=$work/home XDG_CACHE_HOME=$work/cache
  export npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false YARN_CACHE_FOLDER=$work/cache/yarn
  shift
  "$@"
  example node_modules/clerk-auth/README.md js > app.mjs
  serves node app.mjs
}
with_npm() { node_project npm npm install clerk-auth; }
with_pnpm() { node_project pnpm "$tools/node_modules/.bin/pnpm" add clerk-auth --store-dir "$work/pnpm" --registry "$registry"; }
with_yarn() { node_project yarn "$tools/node_modules/.bin/yarn" add clerk-auth --registry "$registry" --silent; }
links() {
  set -e
  ! grep -oE '\]\([^)]*\)' "$root/build/npm/clerk-auth/README.md" | grep -vE '\]\((https?:|#)'
}
without_addon() {
  set -e
  mkdir "$work/bare"
  cp -r "$root/bindings/node/lib" "$root/bindings/node/package.json" "$work/bare/"
  cd "$work/bare"
  if npm pack --silent; then return 1; fi 2> error.txt
  cat error.txt
  grep 'has no addon for' error.txt
}
without_optional() {
  set -e
  export npm_config_registry=$registry npm_config_cache=$work/cache
  mkdir "$work/omitted"
  cd "$work/omitted"
  echo '{"private": true}' > package.json
  npm install --no-audit --no-fund --omit=optional clerk-auth
  if node -e "require('clerk-auth')" 2> error.txt; then return 1; fi
  grep 'has no addon for linux-.*: install clerk-auth-linux-.*-gnu@' error.txt
}
glibc() {
  set -e
  local newest
  newest=$(readelf -VW "$root"/build/npm/clerk-auth-linux-*-gnu/node.napi.node | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1)
  echo "$newest"
  [ "$(printf '%s\n' "$newest" GLIBC_2.28 | sort -V | tail -n 1)" = GLIBC_2.28 ]
}

go_project() {
  set -e
  export GOPROXY="file://$root/build/goproxy" GONOSUMDB='*' GOFLAGS=-mod=mod GONOSUMCHECK=1 GOTOOLCHAIN=local
  export GOMODCACHE=$work/modules
  mkdir "$work/$1"
  cd "$work/$1"
  example "$root/bindings/go/README.md" go > main.go
  go mod init example.com/hello
  go get github.com/clerk-auth/clerk-auth/bindings/go
}
with_go() {
  go_project hello
  go build -o hello .
  ! ldd hello | grep clerk
  serves ./hello
}
with_go_static() {
  go_project static
  go build -tags netgo,osusergo -ldflags '-linkmode external -extldflags -static' -o hello .
  ! readelf -dW hello | grep NEEDED
  serves ./hello
}
with_clerktest() {
  go_project tested
  cat > main_test.go << 'GO'
package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/clerk-auth/clerk-auth/bindings/go/clerktest"
)

func TestHandler(t *testing.T) {
	clerk := clerktest.New(t)
	response := httptest.NewRecorder()
	clerk.Client().RequireAuth(http.NotFoundHandler()).ServeHTTP(response, clerk.Request("GET", "/", clerktest.User("user_1")))
	if response.Code != http.StatusNotFound {
		t.Error(response.Code)
	}
}
GO
  go test ./...
}
one_error() {
  go_project "$1"
  shift
  if "$@" go build . 2> error.txt; then return 1; fi
  cat error.txt
  [ "$(grep -vc '^#' error.txt)" -eq 1 ]
  grep 'clerkauth needs cgo: set CGO_ENABLED=1 and install a C compiler' error.txt
}

check "npm: install clerk-auth, and the quick start of the README" with_npm
check "pnpm: add clerk-auth, and the quick start of the README" with_pnpm
check "yarn: add clerk-auth, and the quick start of the README" with_yarn
check "links of the README work on the registry's page" links
check "npm pack refuses to pack without an addon" without_addon
check "a clear error without the package of the platform" without_optional
check "the addon runs on glibc 2.28" glibc
. "$here/bundlers.sh"
check "go get from a file-based proxy, and the quick start of the README" with_go
check "the same, fully static" with_go_static
check "clerktest from the module" with_clerktest
check "one line of error without cgo" one_error nocgo env CGO_ENABLED=0
check "one line of error for a cross build" one_error cross env GOOS=darwin GOARCH=arm64
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
