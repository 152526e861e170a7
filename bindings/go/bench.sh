#!/usr/bin/env bash
# Benchmarks a cached authentication in Go, in C and with clerk-sdk-go, in one run. Fails if the middleware takes over 300 ns
# longer than C; CLERK_GO_LIMIT_NS sets another limit, 0 none.
set -euo pipefail
cd "$(dirname "$0")"

root=$(cd ../.. && pwd)
export CLERK_STAGE=${CLERK_STAGE:-$root/build/stage} CLERK_SIM=${CLERK_SIM:-$root/target/release/clerk-sim}
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly
./lib/copy.sh
cd bench
go run . -limit "${CLERK_GO_LIMIT_NS:-300}"
