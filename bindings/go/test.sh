#!/usr/bin/env bash
# All tests of the Go binding: against the staged tree, beside clerk-sim. `make stage sim` first.
set -euo pipefail
cd "$(dirname "$0")"

here=$PWD root=$(cd ../.. && pwd)
export CLERK_STAGE=${CLERK_STAGE:-$root/build/stage} CLERK_SIM=${CLERK_SIM:-$root/target/release/clerk-sim}
export CLERK_CASES=${CLERK_CASES:-$root/build/shared-cases.jsonl}
for name in "${!CLERK_@}"; do # a caller's Clerk settings must not come in
  [[ " CLERK_STAGE CLERK_SIM CLERK_CASES " == *" $name "* ]] || unset "$name"
done
export PKG_CONFIG_PATH=$CLERK_STAGE/lib/pkgconfig GOTOOLCHAIN=local GOFLAGS=-mod=readonly
unset LD_LIBRARY_PATH

for tool in go gofmt cc nm ldd curl pkg-config timeout; do
  command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done
for file in "$CLERK_SIM" "$CLERK_CASES"; do
  [ -e "$file" ] || { echo "missing: $file; run \`make test-go\` in the repository" >&2; exit 1; }
done
./lib/copy.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

passed=0 failed=0
# NAME COMMAND...: one line, and what the command said if it failed.
check() {
  local name=$1 status=0 began=$SECONDS
  shift
  "$@" > "$work/said.txt" 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    echo "ok $name ($((SECONDS - began)) s)"
    passed=$((passed + 1))
  else
    echo "FAIL $name ($status)"
    tail -n 80 "$work/said.txt" | sed 's/^/    /'
    failed=$((failed + 1))
  fi
}

formatted() {
  local odd
  odd=$(gofmt -l .)
  [ -z "$odd" ] || { echo "not formatted: $odd"; return 1; }
}
no_dependencies() {
  [ "$(go list -m all)" = "$(go list -m)" ] && ! grep -q require go.mod && [ ! -e go.sum ]
}
vetted() {
  go vet ./... && go vet -tags clerk_shared ./... && (cd integration && go vet ./...) && (cd bench && go vet ./...)
}
shared() {
  LD_LIBRARY_PATH=$CLERK_STAGE/lib timeout 120 go test -count=1 -tags clerk_shared ./...
}
# What is linked by default needs no library of ours at run time.
self_contained() {
  go build -o "$work/hello" ./examples/hello && ! ldd "$work/hello" | grep clerk
}
other_modules() {
  (cd integration && timeout 120 go test -count=1 ./...)
}
fuzzed() {
  local target
  for target in FuzzLines FuzzDelivery FuzzDemands; do
    timeout 60 go test -run '^$' -fuzz "^$target\$" -fuzztime 2000x -parallel 2 . || return 1
  done
}
# A program that vendors the module finds the archive there, without any network.
vendored() (
  export GOPROXY=off
  mkdir -p "$work/vendored" && cp examples/hello/main.go "$work/vendored/" && cd "$work/vendored" &&
    go mod init example.com/vendored &&
    go mod edit -require github.com/clerk-auth/clerk-auth/bindings/go@v0.0.0 \
      -replace "github.com/clerk-auth/clerk-auth/bindings/go=$here" &&
    GOFLAGS=-mod=mod go mod vendor && GOFLAGS=-mod=vendor go build -o hello . && answers ./hello
)
# Without an archive the build says what to do.
without_an_archive() {
  mkdir -p "$work/bare" && cp -r ./*.go ./*.c ./*.h go.mod lib "$work/bare/" || return 1
  rm -f "$work"/bare/lib/*/*.a "$work"/bare/lib/*/*.h
  if (cd "$work/bare" && go build . 2> said.txt); then return 1; fi
  grep 'clerk_auth.h is missing: run bindings/go/lib/copy.sh' "$work/bare/said.txt"
}
# A library of the same functions, but older.
an_older_library() {
  mkdir -p "$work/older"
  {
    nm -D --defined-only "$CLERK_STAGE/lib/libclerk_auth.so" | awk '$3 ~ /^clerk_/ { print $3 }' |
      sed -e '/^clerk_version$/d' -e '/^clerk_abi_version$/d' -e 's/.*/void *&(void) { return 0; }/'
    echo 'const char *clerk_version(void) { return "0.0.7"; } unsigned clerk_abi_version(void) { return 0; }'
  } > "$work/older.c"
  cc -shared -fPIC -Wl,-soname,libclerk_auth.so.0 -o "$work/older/libclerk_auth.so.0" "$work/older.c" &&
    go build -tags clerk_shared -o "$work/hello-shared" ./examples/hello || return 1
  if LD_LIBRARY_PATH=$work/older "$work/hello-shared" 2> "$work/older/said.txt"; then return 1; fi
  cat "$work/older/said.txt"
  grep -q '0\.0\.7 with binary interface 0\.0 .* built for binary interface 0\.[1-9]' "$work/older/said.txt"
}
# The first line of PROGRAM is its address; nobody who comes without a token is let in.
answers() {
  CLERK_SECRET_KEY=sk_test_x "$1" > "$work/address.txt" &
  local server=$! status=0
  for _ in $(seq 100); do [ -s "$work/address.txt" ] && break; sleep 0.05; done
  [ "$(curl -s -o /dev/null -w '%{http_code}' "$(cat "$work/address.txt")")" = 401 ] || status=1
  kill "$server"
  return "$status"
}

check "formatting" formatted
check "no dependencies" no_dependencies
check "go vet, both ways to link, all modules" vetted
check "all tests, with the race detector and cgocheck2" \
  env GOEXPERIMENT=cgocheck2 timeout 180 go test -race -count=1 ./...
check "all tests, with the shared library" shared
check "routers and database/sql" other_modules
check "fuzzing, a little" fuzzed
check "the archive is all that a program needs" self_contained
check "go mod vendor" vendored
check "a clear error without the archive" without_an_archive
check "an older library is refused" an_older_library

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
