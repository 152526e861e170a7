#!/usr/bin/env bash
# All tests of the Go binding, with the staged library and clerk-sim. Run `make stage sim` first, or `make test-go` instead.
set -euo pipefail
cd "$(dirname "$0")"

here=$PWD root=$(cd ../.. && pwd)
export CLERK_STAGE=${CLERK_STAGE:-$root/build/stage} CLERK_SIM=${CLERK_SIM:-$root/target/release/clerk-sim}
export CLERK_CASES=${CLERK_CASES:-$root/build/shared-cases.jsonl}
for name in "${!CLERK_@}"; do # the caller's Clerk settings must not apply
  [[ " CLERK_STAGE CLERK_SIM CLERK_CASES " == *" $name "* ]] || unset "$name"
done
export PKG_CONFIG_PATH=$CLERK_STAGE/lib/pkgconfig GOTOOLCHAIN=local GOFLAGS=-mod=readonly
unset LD_LIBRARY_PATH

for tool in go gofmt cc nm ldd readelf curl pkg-config timeout; do
  command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done
for file in "$CLERK_SIM" "$CLERK_CASES"; do
  [ -e "$file" ] || { echo "missing: $file; run \`make test-go\` in the repository" >&2; exit 1; }
done
./lib/copy.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

passed=0 failed=0
# check NAME COMMAND...: prints one line, and the output of the command if it failed.
check() {
  local name=$1 status=0 start=$SECONDS
  shift
  "$@" > "$work/output.txt" 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    echo "ok $name ($((SECONDS - start)) s)"
    passed=$((passed + 1))
  else
    echo "FAIL $name ($status)"
    tail -n 80 "$work/output.txt" | sed 's/^/    /'
    failed=$((failed + 1))
  fi
}

gofmt_clean() {
  local files
  files=$(gofmt -l .)
  [ -z "$files" ] || { echo "not formatted: $files"; return 1; }
}
no_dependencies() {
  [ "$(go list -m all)" = "$(go list -m)" ] && ! grep -q require go.mod && [ ! -e go.sum ]
}
vet() {
  go vet ./... && go vet -tags clerk_shared ./... && (cd integration && go vet ./...) && (cd bench && go vet ./...)
}
staticcheck() {
  local module
  for module in . integration stores bench; do
    (cd "$module" && go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...) || return 1
  done
}
shared() {
  LD_LIBRARY_PATH=$CLERK_STAGE/lib timeout 120 go test -count=1 -tags clerk_shared ./...
}
# A default build needs no libclerk_auth at run time.
self_contained() {
  go build -o "$work/hello" ./examples/hello && ! ldd "$work/hello" | grep clerk
}
other_modules() {
  (cd integration && timeout 120 go test -count=1 ./...)
}
fuzz() {
  local target
  for target in FuzzHeaders FuzzWebhook FuzzAuthChecks; do
    timeout 60 go test -run '^$' -fuzz "^$target\$" -fuzztime 2000x -parallel 2 . || return 1
  done
}
# A program that vendors the module builds from the vendored archive, without network.
vendor() (
  export GOPROXY=off
  mkdir -p "$work/vendored" && cp examples/hello/main.go "$work/vendored/" && cd "$work/vendored" &&
    go mod init example.com/vendored &&
    go mod edit -require github.com/clerk-auth/clerk-auth/bindings/go@v0.0.0 \
      -replace "github.com/clerk-auth/clerk-auth/bindings/go=$here" &&
    GOFLAGS=-mod=mod go mod vendor && GOFLAGS=-mod=vendor go build -o hello . && rejects_anonymous ./hello
)
# Without the archive the build fails with an instruction.
missing_archive() {
  mkdir -p "$work/bare" && cp -r ./*.go ./*.c ./*.h go.mod lib "$work/bare/" || return 1
  rm -f "$work"/bare/lib/*/*.a "$work"/bare/lib/*/*.h
  if (cd "$work/bare" && go build . 2> output.txt); then return 1; fi
  grep 'clerk_auth.h is missing: run bindings/go/lib/copy.sh' "$work/bare/output.txt"
}
# Without cgo, or without a C compiler, the build fails with one line that says what to do.
missing_cgo() {
  local go
  go=$(command -v go) && mkdir -p "$work/nocc" && ln -sf "$go" "$work/nocc/go" || return 1
  one_cgo_error env CGO_ENABLED=0 go build ./... && one_cgo_error env -u CC -u CGO_ENABLED PATH="$work/nocc" go build ./... &&
    one_cgo_error env CGO_ENABLED=0 GOOS=windows go build .
}
# The archive is for glibc on Linux.
other_systems() {
  if CC="${CC:-cc} -U__linux__" go build . 2> "$work/other.txt"; then return 1; fi
  cat "$work/other.txt"
  # Files that are compiled at the same time may each report it.
  [ "$(grep 'error:' "$work/other.txt" | sort -u | wc -l)" -eq 1 ] && grep -q 'clerkauth needs linux/amd64 or linux/arm64' "$work/other.txt" || return 1
  local musl='#include <features.h>\n#undef __GLIBC__\n#include "bridge.h"\n'
  # shellcheck disable=SC2059
  if printf "$musl" | ${CC:-cc} -fsyntax-only -I. -I"$CLERK_STAGE/include" -xc - 2> "$work/other.txt"; then return 1; fi
  cat "$work/other.txt"
  [ "$(grep -c 'error:' "$work/other.txt")" -eq 1 ] && grep -q 'clerkauth links an archive for glibc' "$work/other.txt"
}
one_cgo_error() {
  if "$@" 2> "$work/nocgo.txt"; then return 1; fi
  cat "$work/nocgo.txt"
  [ "$(grep -vc '^#' "$work/nocgo.txt")" -eq 1 ] &&
    grep -q 'clerkauth needs cgo: set CGO_ENABLED=1 and install a C compiler' "$work/nocgo.txt"
}
# A library with the same functions and an older version.
older_library() {
  mkdir -p "$work/older"
  {
    nm -D --defined-only "$CLERK_STAGE/lib/libclerk_auth.so" | awk '$3 ~ /^clerk_/ { sub("@.*", "", $3); print $3 }' |
      sed -e '/^clerk_version$/d' -e '/^clerk_abi_version$/d' -e 's/.*/void *&(void) { return 0; }/'
    echo 'const char *clerk_version(void) { return "0.0.7"; } unsigned clerk_abi_version(void) { return 0; }'
  } > "$work/older.c"
  echo 'CLERK_0 { global: *; };' > "$work/older.map"
  cc -shared -fPIC -Wl,-soname,libclerk_auth.so.0 -Wl,--version-script="$work/older.map" -o "$work/older/libclerk_auth.so.0" "$work/older.c" &&
    go build -tags clerk_shared -o "$work/hello-shared" ./examples/hello || return 1
  if LD_LIBRARY_PATH=$work/older "$work/hello-shared" 2> "$work/older/output.txt"; then return 1; fi
  cat "$work/older/output.txt"
  grep -q '0\.0\.7 with binary interface 0\.0 .* built for binary interface 0\.[1-9]' "$work/older/output.txt"
}
# Needs no shared library, not even that of C.
fully_static() {
  go build -tags netgo,osusergo -ldflags '-linkmode external -extldflags -static' -o "$work/hello-static" ./examples/hello &&
    ! readelf -dW "$work/hello-static" | grep NEEDED && rejects_anonymous "$work/hello-static"
}
# rejects_anonymous PROGRAM: prints its address, and responds with 401 to a request without a token.
rejects_anonymous() {
  CLERK_SECRET_KEY=sk_test_x "$1" > "$work/address.txt" &
  local server=$! status=0
  for _ in $(seq 100); do [ -s "$work/address.txt" ] && break; sleep 0.05; done
  [ "$(curl -s -o /dev/null -w '%{http_code}' "$(cat "$work/address.txt")")" = 401 ] || status=1
  kill "$server"
  return "$status"
}

check "gofmt" gofmt_clean
check "no dependencies" no_dependencies
check "go vet, both ways to link, all modules" vet
check "staticcheck, all modules" staticcheck
check "all tests, with the race detector and cgocheck2" \
  env GOEXPERIMENT=cgocheck2 timeout 180 go test -race -count=1 ./...
check "all tests, with the shared library" shared
check "routers, database/sql, Prometheus, OpenTelemetry" other_modules
check "fuzzing" fuzz
check "programs need no libclerk_auth at run time" self_contained
check "a fully static program" fully_static
check "go mod vendor" vendor
check "a clear error without the archive" missing_archive
check "a clear error without cgo" missing_cgo
check "a clear error on another system and on musl" other_systems
check "an older library is rejected" older_library

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
